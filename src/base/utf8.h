// UTF-8 primitives. Ill-formed input is never an error here: every function treats it by the
// maximal-subpart rule of the Unicode standard (chapter 3.9), which WHATWG decoders, Rust's
// from_utf8_lossy and Python's errors="replace" share: each longest prefix of a well-formed
// sequence that cannot be continued counts as one ill-formed unit, shown as U+FFFD.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace m2::utf8 {

inline constexpr char32_t kReplacement = U'\uFFFD';
inline constexpr char32_t kMaxCodePoint = 0x10FFFF;

struct Decoded {
  char32_t code_point;  // kReplacement when not valid
  int length;           // bytes taken, 1 to 4; for ill-formed input the maximal subpart, 1 to 3
  bool valid;
};

// Decodes the unit that starts at byte `pos`; requires pos < s.size().
[[nodiscard]] Decoded decode(std::string_view s, size_t pos);

// Appends the UTF-8 form of `code_point`; surrogates and values above U+10FFFF become U+FFFD.
void append(std::string& out, char32_t code_point);
[[nodiscard]] std::string encode(char32_t code_point);

// Bytes that `code_point` takes in UTF-8 (1 to 4); requires a Unicode scalar value.
[[nodiscard]] constexpr int encoded_length(char32_t code_point) {
  return code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
}

[[nodiscard]] bool is_valid(std::string_view s);

// The same text with every ill-formed unit replaced by U+FFFD.
[[nodiscard]] std::string replace_invalid(std::string_view s);

// Number of code points; an ill-formed unit counts as one (as it does after replace_invalid).
[[nodiscard]] size_t count(std::string_view s);

// Code points of `s`, ill-formed units as U+FFFD, and back.
[[nodiscard]] std::u32string to_utf32(std::string_view s);
[[nodiscard]] std::string from_utf32(std::u32string_view s);

// Length of the sequence at the end of `s` that is well-formed so far but cut off (0 to 3 bytes):
// more bytes could still make a code point of it.
[[nodiscard]] size_t incomplete_suffix_length(std::string_view s);

// Continuation bytes are 10xxxxxx; every other byte starts a unit in well-formed text.
[[nodiscard]] constexpr bool is_continuation(char byte) {
  return (static_cast<uint8_t>(byte) & 0xC0) == 0x80;
}

}  // namespace m2::utf8
