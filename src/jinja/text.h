// Algorithms on strings that methods and filters share. All keep the untrusted ranges.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "jinja/runtime.h"
#include "jinja/str.h"

namespace m2::jinja {

inline constexpr size_t kUnlimited = static_cast<size_t>(-1);

[[nodiscard]] inline bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

enum class Side { kLeft, kRight, kBoth };

/// Byte of the first `needle` in `text` at or behind `from`; npos when there is none. Linear.
[[nodiscard]] size_t find_text(std::string_view text, std::string_view needle, size_t from);
[[nodiscard]] size_t rfind_text(std::string_view text, std::string_view needle);

/// Without the characters of `chars` at the ends; without white space when `chars` is null.
[[nodiscard]] Str strip(const Str& text, const Str* chars, Side side);
[[nodiscard]] std::vector<Str> split(const Str& text, std::string_view separator,
                                     size_t max_splits);
[[nodiscard]] std::vector<Str> rsplit(const Str& text, std::string_view separator,
                                      size_t max_splits);
[[nodiscard]] std::vector<Str> split_white_space(const Str& text, size_t max_splits);
[[nodiscard]] std::vector<Str> rsplit_white_space(const Str& text, size_t max_splits);
[[nodiscard]] std::vector<Str> split_lines(const Str& text, bool keep_ends);
[[nodiscard]] Str replace(Runtime& runtime, const Str& text, const Str& from, const Str& to,
                          size_t max_count);

/// `text` on the named side of as many fill characters as bring it to `width` code points.
[[nodiscard]] Str pad(Runtime& runtime, const Str& text, Int width, const Str& fill,
                      Side text_side);

}  // namespace m2::jinja
