#pragma once
#include <stdexcept>
#include <string>

namespace kvgauge {

/// Everything that ends a request or a run. The message is one line:
/// `where: what was found, what was needed[; remedy]`. main() prints it and maps the type to an exit code.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class UsageError : public Error {
  using Error::Error;
};  ///< exit 2: a bad command line
class FormatError : public Error {
  using Error::Error;
};  ///< exit 3: a model or input file that is not what it claims
class ConfigError : public Error {
  using Error::Error;
};  ///< exit 3: a well-formed file that asks for what we do not have
class InputError : public Error {
  using Error::Error;
};  ///< exit 3: an input file that is missing or unreadable
class DivergedError : public Error {
  using Error::Error;
};  ///< exit 3: training whose loss is no longer finite
class DeviceError : public Error {
  using Error::Error;
};  ///< exit 4: device, memory
class OutputError : public Error {
  using Error::Error;
};  ///< exit 4: output that cannot be written
class RequestError : public Error {
  using Error::Error;
};  ///< ends one row only; the row carries the message in `error`

}  // namespace kvgauge
