#pragma once
// Between C callers and C++: checks of arguments, and exceptions as statuses.
#include <new>
#include <string>

#include "core/cat.h"
#include "kvgauge/error.h"
#include "kvgauge/kvgauge.h"

namespace kvgauge::capi {

/// An argument of the caller's: KVGAUGE_INVALID_ARGUMENT.
class ArgumentError : public Error {
  using Error::Error;
};

template <class... Parts>
void require(bool holds, const Parts&... what) {
  if (!holds) throw ArgumentError(cat(what...));
}

/// What kvgauge_last_error() returns on this thread. Never throws: a message that finds no memory is left out.
void set_last_error(const char* function, const char* message) noexcept;
void clear_last_error() noexcept;

/// Runs the body of a C function; nothing thrown leaves it.
template <class Body>
kvgauge_status guarded(const char* function, const Body& body) noexcept {
  try {
    body();
    clear_last_error();
    return KVGAUGE_OK;
  } catch (const ArgumentError& error) {
    set_last_error(function, error.what());
    return KVGAUGE_INVALID_ARGUMENT;
  } catch (const Error& error) {
    set_last_error(function, error.what());
    return KVGAUGE_DEVICE_ERROR;
  } catch (const std::bad_alloc&) {
    set_last_error(function, "out of memory");
    return KVGAUGE_OUT_OF_MEMORY;
  } catch (const std::length_error&) {
    set_last_error(function, "out of memory: more was asked for than can be addressed");
    return KVGAUGE_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    set_last_error(function, error.what());
    return KVGAUGE_INTERNAL_ERROR;
  } catch (...) {
    set_last_error(function, "an unknown exception");
    return KVGAUGE_INTERNAL_ERROR;
  }
}

}  // namespace kvgauge::capi
