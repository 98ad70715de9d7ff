#include "base/byte_size.h"

#include <charconv>
#include <cmath>
#include <system_error>

#include "base/error.h"

namespace m2 {

std::int64_t parse_byte_size(std::string_view text, std::string_view what) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  double factor = 0;
  if (unit.empty()) factor = 1;
  if (unit == "KB") factor = 1e3;
  if (unit == "MB") factor = 1e6;
  if (unit == "GB") factor = 1e9;
  if (unit == "TB") factor = 1e12;
  const double bytes = number * factor;
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             error == std::errc() && std::isfinite(bytes) && bytes >= 1 && bytes < 1e18, what,
             ": expected a number of bytes or one with KB, MB, GB or TB, got \"", text, "\"");
  return static_cast<std::int64_t>(bytes);
}

}  // namespace m2
