// Sizes of memory and files as people write them.
#pragma once

#include <cstdint>
#include <string_view>

namespace m2 {

/// "1.5MB", "50GB" in decimal units, or a number of bytes. Throws kInvalidArgument, naming `what`
/// is asked for, for anything else and for less than a byte.
[[nodiscard]] std::int64_t parse_byte_size(std::string_view text, std::string_view what);

}  // namespace m2
