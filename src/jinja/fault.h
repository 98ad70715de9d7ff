// Errors of templates, which learn their place in the template on the way up.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"

namespace m2::jinja {

/// Thrown inside the engine; Template turns it into a plain m2::Error with line and column.
class Fault : public Error {
 public:
  using Error::Error;
  Fault(ErrorCode error_code, const std::string& message, uint32_t source_offset)
      : Error(error_code, message), offset(source_offset) {}

  std::optional<uint32_t> offset;  // byte in the template source
  bool bare = false;               // the message is shown without a place
};

/// An operation that Python or Jinja2 refuses.
template <typename... Parts>
[[noreturn]] void raise(const Parts&... parts) {
  throw Fault(ErrorCode::kInvalidArgument, concat(parts...));
}

/// A limit of the render is passed.
template <typename... Parts>
[[noreturn]] void raise_exhausted(const Parts&... parts) {
  throw Fault(ErrorCode::kResourceExhausted, concat(parts...));
}

/// Valid in Jinja2 but not done here.
template <typename... Parts>
[[noreturn]] void raise_unsupported(const Parts&... parts) {
  throw Fault(ErrorCode::kUnsupported, concat(parts...));
}

}  // namespace m2::jinja
