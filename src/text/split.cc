#include "text/split.h"

#include <array>
#include <cstdint>

#include "text/unicode.h"

namespace m2 {
namespace {

using unicode::CharClass;

constexpr std::string_view kO200kRegex =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr CharClass ascii_class(uint8_t c) {
  if (c == '\r' || c == '\n') return CharClass::kNewline;
  if (c == ' ' || (c >= '\t' && c <= '\r')) return CharClass::kSpace;
  if (c >= '0' && c <= '9') return CharClass::kNumber;
  if (c >= 'A' && c <= 'Z') return CharClass::kUpper;
  if (c >= 'a' && c <= 'z') return CharClass::kLower;
  return CharClass::kOther;
}

// A set of classes as bits.
constexpr unsigned bit(CharClass c) { return 1U << static_cast<unsigned>(c); }
constexpr unsigned kLower = bit(CharClass::kLower);
constexpr unsigned kUpper = bit(CharClass::kUpper);
constexpr unsigned kNumber = bit(CharClass::kNumber);
constexpr unsigned kNewline = bit(CharClass::kNewline);
constexpr unsigned kLetters = kUpper | kLower | bit(CharClass::kOtherLetter);
constexpr unsigned kCaseless = bit(CharClass::kOtherLetter) | bit(CharClass::kMark);
constexpr unsigned kUpperRun = kUpper | kCaseless;  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
constexpr unsigned kLowerRun = kLower | kCaseless;  // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
constexpr unsigned kNoPrefix = kLetters | kNumber | kNewline;
constexpr unsigned kSpaces = bit(CharClass::kSpace) | kNewline;
constexpr unsigned kPunctuation = bit(CharClass::kOther) | bit(CharClass::kMark);

// By byte: the class of an ASCII character, or that the byte is a part of a longer code point.
constexpr uint16_t kMultibyte = 1U << 8;
constexpr auto kByteClasses = [] {
  std::array<uint16_t, 256> classes{};
  for (size_t c = 0; c < classes.size(); ++c) {
    classes[c] =
        c < 0x80 ? static_cast<uint16_t>(bit(ascii_class(static_cast<uint8_t>(c)))) : kMultibyte;
  }
  return classes;
}();

constexpr size_t kNoMatch = static_cast<size_t>(-1);

unsigned byte_class(char c) { return kByteClasses[static_cast<uint8_t>(c)]; }

// A position in well-formed UTF-8 and the class of the code point there.
class Cursor {
 public:
  Cursor(std::string_view text, size_t pos) : text_(text), pos_(pos) { load(); }

  [[nodiscard]] bool at_end() const { return pos_ >= text_.size(); }
  [[nodiscard]] size_t pos() const { return pos_; }
  [[nodiscard]] size_t next_pos() const { return pos_ + length_; }
  // False at the end of the text.
  [[nodiscard]] bool in(unsigned classes) const { return (bit_ & classes) != 0; }
  [[nodiscard]] bool is(char c) const { return !at_end() && text_[pos_] == c; }

  void advance() {
    pos_ += length_;
    load();
  }

  void skip(unsigned classes) {
    while (in(classes)) advance();
  }

 private:
  void load() {
    if (pos_ >= text_.size()) {
      bit_ = 0;
      length_ = 0;
      return;
    }
    const auto lead = static_cast<uint8_t>(text_[pos_]);
    if (lead < 0x80) {
      bit_ = byte_class(text_[pos_]);
      length_ = 1;
      return;
    }
    load_multibyte(lead);
  }

  void load_multibyte(uint8_t lead) {
    const auto tail = [&](size_t i) { return static_cast<char32_t>(text_[pos_ + i] & 0x3F); };
    char32_t code_point = 0;
    if (lead < 0xE0) {
      code_point = (char32_t{lead} & 0x1F) << 6 | tail(1);
      length_ = 2;
    } else if (lead < 0xF0) {
      code_point = (char32_t{lead} & 0x0F) << 12 | tail(1) << 6 | tail(2);
      length_ = 3;
    } else {
      code_point = (char32_t{lead} & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3);
      length_ = 4;
    }
    bit_ = bit(unicode::PropertyTable::instance()[code_point].char_class());
  }

  std::string_view text_;
  size_t pos_;
  size_t length_ = 0;
  unsigned bit_ = 0;
};

// Length of 's 't 're 've 'm 'll 'd at `pos`, 0 if there is none. Without regard to case also takes
// U+017F, which folds to s.
size_t contraction_length(std::string_view text, size_t pos, bool ignore_case) {
  if (pos + 1 >= text.size() || text[pos] != '\'') return 0;
  const auto letter = [&](size_t i) {
    const char c = pos + i < text.size() ? text[pos + i] : '\0';
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char first = letter(1);
  const char second = letter(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  if (ignore_case && text.substr(pos + 1, 2) == "\u017F") return 3;
  return 0;
}

struct WordMatch {
  size_t with_lower = kNoMatch;  // end of U* W+
  size_t upper_only = kNoMatch;  // end of U+, to be tried after every form of the former
};

// Matches U* W+ and, only where that fails, U+ W* (then W* is empty: a W would have matched).
WordMatch match_word(Cursor cursor) {
  const size_t begin = cursor.pos();
  size_t caseless_end = kNoMatch;
  while (cursor.in(kUpperRun)) {
    if (cursor.in(kCaseless)) caseless_end = cursor.next_pos();
    cursor.advance();
  }
  if (cursor.in(kLower)) {
    cursor.skip(kLowerRun);
    return {.with_lower = cursor.pos()};
  }
  // U* took everything; it gives back up to the last code point that is in W, too.
  if (caseless_end != kNoMatch) return {.with_lower = caseless_end};
  if (cursor.pos() > begin) return {.upper_only = cursor.pos()};
  return {};
}

// Alternatives 1 and 2, kNoMatch if neither fits.
size_t match_prefixed_word(const Cursor& start) {
  WordMatch with_prefix;
  if (!start.in(kNoPrefix)) {
    Cursor after = start;
    after.advance();
    with_prefix = match_word(after);
    if (with_prefix.with_lower != kNoMatch) return with_prefix.with_lower;
  }
  if (start.in(kUpperRun | kLowerRun)) {
    const WordMatch plain = match_word(start);
    if (plain.with_lower != kNoMatch) return plain.with_lower;
    if (with_prefix.upper_only == kNoMatch) return plain.upper_only;
  }
  return with_prefix.upper_only;
}

// \s*[\r\n]+ | \s+(?!\S) | \s+ ; requires white space at the cursor.
size_t match_space(Cursor cursor, bool newlines_first) {
  size_t newline_end = kNoMatch;
  size_t last = cursor.pos();
  const size_t begin = cursor.pos();
  while (cursor.in(kSpaces)) {
    if (cursor.in(kNewline)) newline_end = cursor.next_pos();
    last = cursor.pos();
    cursor.advance();
  }
  if (newlines_first && newline_end != kNoMatch) return newline_end;
  // The last space of a run goes to the word behind it, unless it is the only one.
  return cursor.at_end() || last == begin ? cursor.pos() : last;
}

// Skips ASCII characters of the classes. Returns kNoMatch if the run meets another code point, for
// that might belong to it.
size_t skip_ascii(std::string_view text, size_t pos, unsigned classes) {
  while (pos < text.size() && (byte_class(text[pos]) & classes) != 0) ++pos;
  return pos < text.size() && byte_class(text[pos]) == kMultibyte ? kNoMatch : pos;
}

// As match_space. Requires white space at `pos`.
size_t ascii_space_end(std::string_view text, size_t pos) {
  const size_t end = skip_ascii(text, pos, kSpaces);
  if (end == kNoMatch) return kNoMatch;
  const size_t newline = text.substr(pos, end - pos).find_last_of("\r\n");
  if (newline != std::string_view::npos) return pos + newline + 1;
  return end == text.size() || end == pos + 1 ? end : end - 1;
}

// piece_end_o200k for a piece of ASCII characters before another one (or the end of the text), in
// which the alternatives reduce to runs of bytes. kNoMatch: not such a piece.
size_t ascii_piece_end(std::string_view text, size_t pos) {
  const unsigned first = byte_class(text[pos]);
  if (first == kMultibyte) return kNoMatch;
  const size_t word = (first & kNoPrefix) != 0 ? pos : pos + 1;
  const size_t upper_end = skip_ascii(text, word, kUpper);
  if (upper_end == kNoMatch) return kNoMatch;
  const size_t word_end = skip_ascii(text, upper_end, kLower);
  if (word_end == kNoMatch) return kNoMatch;
  if (word_end > word) {
    const bool apostrophe = word_end < text.size() && text[word_end] == '\'';
    return apostrophe ? word_end + contraction_length(text, word_end, /*ignore_case=*/true)
                      : word_end;
  }
  if (first == kNumber) return skip_ascii(text.substr(0, pos + 3), pos, kNumber);
  const size_t punctuation = text[pos] == ' ' ? pos + 1 : pos;
  const size_t punctuation_end = skip_ascii(text, punctuation, kPunctuation);
  if (punctuation_end == kNoMatch) return kNoMatch;
  if (punctuation_end == punctuation) return ascii_space_end(text, pos);
  size_t end = punctuation_end;
  while (end < text.size() && ((byte_class(text[end]) & kNewline) != 0 || text[end] == '/')) ++end;
  return end;
}

}  // namespace

std::optional<SplitPattern> split_pattern_of_regex(std::string_view regex) {
  if (regex == kO200kRegex) return SplitPattern::kO200k;
  if (regex == kGpt2Regex) return SplitPattern::kGpt2;
  return std::nullopt;
}

size_t piece_end_o200k(std::string_view text, size_t pos) {
  if (const size_t end = ascii_piece_end(text, pos); end != kNoMatch) return end;
  Cursor cursor(text, pos);
  const size_t word_end = match_prefixed_word(cursor);
  if (word_end != kNoMatch) {
    return word_end + contraction_length(text, word_end, /*ignore_case=*/true);
  }
  if (cursor.in(kNumber)) {
    for (int i = 0; i < 3 && cursor.in(kNumber); ++i) cursor.advance();
    return cursor.pos();
  }
  Cursor punctuation = cursor;
  if (punctuation.is(' ')) punctuation.advance();
  if (punctuation.in(kPunctuation)) {
    punctuation.skip(kPunctuation);
    while (punctuation.in(kNewline) || punctuation.is('/')) punctuation.advance();
    return punctuation.pos();
  }
  return match_space(cursor, /*newlines_first=*/true);
}

size_t piece_end_gpt2(std::string_view text, size_t pos) {
  if (const size_t length = contraction_length(text, pos, /*ignore_case=*/false); length > 0) {
    return pos + length;
  }
  const Cursor start(text, pos);
  Cursor cursor = start;
  if (cursor.is(' ')) cursor.advance();
  for (const unsigned classes : {kLetters, kNumber, kPunctuation}) {
    if (!cursor.in(classes)) continue;
    cursor.skip(classes);
    return cursor.pos();
  }
  return match_space(start, /*newlines_first=*/false);
}

}  // namespace m2
