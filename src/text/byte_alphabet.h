// The printable alphabet in which byte-level vocabularies spell bytes (that of GPT-2): bytes that
// are printable Latin-1 stand for themselves, the other 68 for U+0100 and up, in ascending order.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace m2 {

[[nodiscard]] constexpr bool is_printable_byte(uint8_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

inline constexpr std::array<char16_t, 256> kByteAlphabet = [] {
  std::array<char16_t, 256> alphabet{};
  char16_t next = 0x100;
  for (size_t byte = 0; byte < 256; ++byte) {
    const bool printable = is_printable_byte(static_cast<uint8_t>(byte));
    alphabet[byte] = printable ? static_cast<char16_t>(byte) : next++;
  }
  return alphabet;
}();

// The spelling of `bytes`, two bytes at most for each.
[[nodiscard]] std::string spell_bytes(std::string_view bytes);

// Sets `bytes` to those that `spelling` stands for; false if a character is not of the alphabet.
[[nodiscard]] bool unspell_bytes(std::string_view spelling, std::string& bytes);

}  // namespace m2
