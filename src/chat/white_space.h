// What counts as white space in model output.
#pragma once

#include <cstddef>
#include <string_view>

namespace m2::chat {

/// Between tags and around values of other types than string.
inline constexpr std::string_view kWhiteSpace = " \t\r\n";

[[nodiscard]] constexpr bool is_white_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/// Without kWhiteSpace at both ends.
[[nodiscard]] std::string_view trim(std::string_view text);

/// Position of the first code point that Unicode (and Python's str.isspace) does not call white
/// space; npos when there is none.
[[nodiscard]] size_t find_visible(std::string_view text);

/// One past the last visible code point; 0 when there is none.
[[nodiscard]] size_t visible_end(std::string_view text);

}  // namespace m2::chat
