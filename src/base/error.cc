#include "base/error.h"

namespace m2 {

const char* error_code_name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kCorruptFile:
      return "corrupt_file";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kResourceExhausted:
      return "resource_exhausted";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kDeviceFailure:
      return "device_failure";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

void fail_check(const char* condition, const char* file, int line, const std::string& message) {
  fail(ErrorCode::kInternal, file, ":", line, ": check failed: ", condition,
       message.empty() ? "" : ": ", message);
}

}  // namespace m2
