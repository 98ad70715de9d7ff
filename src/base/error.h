// Checks that throw m2::Error. The message is made only when the check fails.
#pragma once

#include <sstream>
#include <string>

#include "m2/error.h"

namespace m2 {

template <typename... Parts>
[[nodiscard]] std::string concat(const Parts&... parts) {
  std::ostringstream out;
  ((out << parts), ...);
  return out.str();
}

template <typename... Parts>
[[noreturn]] void fail(ErrorCode code, const Parts&... parts) {
  throw Error(code, concat(parts...));
}

[[noreturn]] void fail_check(const char* condition, const char* file, int line,
                             const std::string& message);

}  // namespace m2

/// For whatever comes from outside: files, requests, options.
#define M2_REQUIRE(code, cond, ...)  \
  do {                               \
    if (!(cond)) [[unlikely]]        \
      ::m2::fail(code, __VA_ARGS__); \
  } while (false)

/// For contracts of our own; always on, throws kInternal.
#define M2_CHECK(cond, ...)                                                   \
  do {                                                                        \
    if (!(cond)) [[unlikely]]                                                 \
      ::m2::fail_check(#cond, __FILE__, __LINE__, ::m2::concat(__VA_ARGS__)); \
  } while (false)

/// For hot loops: on in debug and sanitizer builds only.
#ifdef M2_DEV_CHECKS
#define M2_DCHECK(cond, ...) M2_CHECK(cond __VA_OPT__(, ) __VA_ARGS__)
#else
#define M2_DCHECK(cond, ...) static_cast<void>(0)
#endif
