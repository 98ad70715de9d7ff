// Unicode properties as the reference tokenizer sees them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace m2::unicode {

// The classes that pre-tokenizer patterns tell apart. Written by tools/make_unicode_tables.py.
enum class CharClass : uint8_t {
  kOther = 0,        // punctuation, symbols, controls, unassigned
  kSpace = 1,        // White_Space without CR and LF
  kNewline = 2,      // CR, LF
  kNumber = 3,       // N
  kMark = 4,         // M
  kUpper = 5,        // Lu, Lt
  kLower = 6,        // Ll
  kOtherLetter = 7,  // Lm, Lo
};

// What one byte of the property table says.
class Properties {
 public:
  constexpr Properties() = default;
  constexpr explicit Properties(uint8_t bits) : bits_(bits) {}

  [[nodiscard]] constexpr CharClass char_class() const {
    return static_cast<CharClass>(bits_ & 0x07);
  }
  // Counts as part of a word for added tokens with single_word.
  [[nodiscard]] constexpr bool is_word() const { return (bits_ & 0x08) != 0; }
  // Text without any such code point is in NFC: these change under NFC, have a combining class or
  // can be the second half of a composition.
  [[nodiscard]] constexpr bool needs_nfc() const { return (bits_ & 0x10) != 0; }
  friend bool operator==(Properties, Properties) = default;

 private:
  uint8_t bits_ = 0;
};

// Two-stage lookup table, built once from the generated runs.
class PropertyTable {
 public:
  [[nodiscard]] static const PropertyTable& instance();

  // Requires code_point <= U+10FFFF.
  [[nodiscard]] Properties operator[](char32_t code_point) const {
    return blocks_[block_of_[code_point >> kBlockBits]][code_point & (kBlockSize - 1)];
  }

 private:
  static constexpr int kBlockBits = 8;
  static constexpr size_t kBlockSize = size_t{1} << kBlockBits;
  static constexpr size_t kNumBlocks = 0x110000 >> kBlockBits;
  using Block = std::array<Properties, kBlockSize>;

  PropertyTable();

  std::array<uint16_t, kNumBlocks> block_of_{};
  std::vector<Block> blocks_;
};

[[nodiscard]] inline bool is_space(Properties properties) {
  const CharClass c = properties.char_class();
  return c == CharClass::kSpace || c == CharClass::kNewline;
}

// Canonical combining class; 0 for starters.
[[nodiscard]] uint8_t combining_class(char32_t code_point);

// Full canonical decomposition, empty if there is none. Hangul syllables are not listed.
[[nodiscard]] std::span<const char32_t> decomposition(char32_t code_point);

// The primary composite of two code points, 0 if there is none. Without Hangul.
[[nodiscard]] char32_t composition(char32_t first, char32_t second);

}  // namespace m2::unicode
