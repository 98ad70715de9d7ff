// The one exception type of the library.
#pragma once

#include <stdexcept>
#include <string>

namespace m2 {

/// What kind of failure an Error reports. Servers and bindings map these to their own codes.
enum class ErrorCode {
  kInvalidArgument,    ///< the caller passed something that cannot be done
  kNotFound,           ///< a file, model or name does not exist
  kCorruptFile,        ///< a file is damaged or not of the format that it claims
  kUnsupported,        ///< valid, but not done by this library
  kResourceExhausted,  ///< memory, KV blocks or a limit ran out
  kCancelled,          ///< the caller asked to stop
  kDeviceFailure,      ///< an accelerator failed
  kInternal,           ///< a contract of the library itself was broken: a bug
};

/// The snake_case name of a code, as in "corrupt_file".
const char* error_code_name(ErrorCode code) noexcept;

/// Thrown by every function of the library that cannot do what was asked.
/// what() says where, what was expected and what came.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace m2
