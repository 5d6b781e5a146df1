#pragma once
#include <gtest/gtest.h>

#include <string>

#include "kvgauge/error.h"

namespace kvgauge::testing {

/// What the call throws: "FormatError: ...", "ConfigError: ...", "InputError: ..." or "none". A message must be one
/// line.
template <class Call>
std::string thrown(Call&& call) {
  const auto described = [](const char* type, const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find_first_of("\n\r"), text.npos) << "more than one line: " << text;
    return std::string(type) + ": " + text;
  };
  try {
    call();
  } catch (const FormatError& error) {
    return described("FormatError", error);
  } catch (const ConfigError& error) {
    return described("ConfigError", error);
  } catch (const InputError& error) {
    return described("InputError", error);
  }
  return "none";
}

/// Passes if `text` starts with `type` and has every one of the parts.
inline ::testing::AssertionResult says(const std::string& text, const std::string& type,
                                       std::initializer_list<std::string> parts) {
  if (text.rfind(type + ": ", 0) != 0)
    return ::testing::AssertionFailure() << "expected a " << type << ", got: " << text;
  for (const std::string& part : parts)
    if (text.find(part) == text.npos) return ::testing::AssertionFailure() << "'" << part << "' is not in: " << text;
  return ::testing::AssertionSuccess();
}

}  // namespace kvgauge::testing
