#include "jinja/unicode.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>

#include "base/utf8.h"

namespace m2::jinja::unicode {
namespace {

// Code points first, first + stride, ... last map to themselves plus delta.
struct CaseRun {
  uint32_t first;
  uint32_t last;
  uint32_t stride;
  int32_t delta;
};

struct CaseSpecial {
  uint32_t code_point;
  const char32_t* text;
};

#include "jinja/unicode_case.inc"
#include "jinja/unicode_properties.inc"

enum Property : uint16_t {  // the order of tools/make_jinja_unicode.py
  kAlpha = 1 << 0,
  kDecimal = 1 << 1,
  kDigit = 1 << 2,
  kNumeric = 1 << 3,
  kLower = 1 << 4,
  kUpper = 1 << 5,
  kTitle = 1 << 6,
  kSpace = 1 << 7,
  kPrintable = 1 << 8,
  kCased = 1 << 9,
  kCaseIgnorable = 1 << 10,
  kIdentifierStart = 1 << 11,
};

constexpr int kPropertyBits = 12;

uint64_t properties(char32_t c) {
  const uint64_t last = (uint64_t{c} << kPropertyBits) | ((1U << kPropertyBits) - 1);
  return *std::prev(std::upper_bound(std::begin(kProperties), std::end(kProperties), last));
}

bool has(char32_t c, uint16_t wanted) { return (properties(c) & wanted) != 0; }

struct CaseTable {
  std::span<const CaseRun> runs;
  std::span<const CaseSpecial> specials;
};

const CaseTable kLowerTable{kLowerRuns, kLowerSpecials};
const CaseTable kUpperTable{kUpperRuns, kUpperSpecials};
const CaseTable kTitleTable{kTitleRuns, kTitleSpecials};
const CaseTable kFoldTable{kFoldRuns, kFoldSpecials};

void append_mapped(std::string& out, char32_t c, const CaseTable& table) {
  const auto special =
      std::lower_bound(table.specials.begin(), table.specials.end(), c,
                       [](const CaseSpecial& s, char32_t v) { return s.code_point < v; });
  if (special != table.specials.end() && special->code_point == c) {
    out += utf8::from_utf32(special->text);
    return;
  }
  const auto run = std::lower_bound(table.runs.begin(), table.runs.end(), c,
                                    [](const CaseRun& r, char32_t v) { return r.last < v; });
  if (run != table.runs.end() && run->first <= c && (c - run->first) % run->stride == 0) {
    c = static_cast<char32_t>(static_cast<int32_t>(c) + run->delta);
  }
  utf8::append(out, c);
}

// A capital sigma at the end of a word becomes the final form.
bool is_final_sigma(std::u32string_view text, size_t i) {
  size_t before = i;
  while (before > 0 && has(text[before - 1], kCaseIgnorable)) --before;
  if (before == 0 || !has(text[before - 1], kCased)) return false;
  size_t after = i + 1;
  while (after < text.size() && has(text[after], kCaseIgnorable)) ++after;
  return after == text.size() || !has(text[after], kCased);
}

void append_lower(std::string& out, std::u32string_view text, size_t i) {
  constexpr char32_t kCapitalSigma = 0x3A3;
  if (text[i] == kCapitalSigma) {
    utf8::append(out, is_final_sigma(text, i) ? 0x3C2 : 0x3C3);
  } else {
    append_mapped(out, text[i], kLowerTable);
  }
}

template <typename Convert>
std::string convert_each(std::string_view text, const Convert& convert) {
  const std::u32string points = utf8::to_utf32(text);
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < points.size(); ++i) convert(out, points, i);
  return out;
}

}  // namespace

bool is_alpha(char32_t c) { return has(c, kAlpha); }
bool is_decimal(char32_t c) { return has(c, kDecimal); }
bool is_digit(char32_t c) { return has(c, kDigit); }
bool is_numeric(char32_t c) { return has(c, kNumeric); }
bool is_alnum(char32_t c) { return has(c, kAlpha | kDecimal | kDigit | kNumeric); }
bool is_lower(char32_t c) { return has(c, kLower); }
bool is_upper(char32_t c) { return has(c, kUpper); }
bool is_title(char32_t c) { return has(c, kTitle); }
bool is_space(char32_t c) { return has(c, kSpace); }
bool is_printable(char32_t c) { return has(c, kPrintable); }
bool is_identifier_start(char32_t c) { return has(c, kIdentifierStart); }

std::string upper(std::string_view text) {
  return convert_each(text, [](std::string& out, const std::u32string& points, size_t i) {
    append_mapped(out, points[i], kUpperTable);
  });
}

std::string lower(std::string_view text) {
  return convert_each(text, [](std::string& out, const std::u32string& points, size_t i) {
    append_lower(out, points, i);
  });
}

std::string casefold(std::string_view text) {
  return convert_each(text, [](std::string& out, const std::u32string& points, size_t i) {
    append_mapped(out, points[i], kFoldTable);
  });
}

std::string capitalize(std::string_view text) {
  return convert_each(text, [](std::string& out, const std::u32string& points, size_t i) {
    if (i == 0) {
      append_mapped(out, points[i], kTitleTable);
    } else {
      append_lower(out, points, i);
    }
  });
}

std::string title(std::string_view text) {
  bool in_word = false;
  return convert_each(text, [&](std::string& out, const std::u32string& points, size_t i) {
    if (in_word) {
      append_lower(out, points, i);
    } else {
      append_mapped(out, points[i], kTitleTable);
    }
    in_word = has(points[i], kCased);
  });
}

std::string swapcase(std::string_view text) {
  return convert_each(text, [](std::string& out, const std::u32string& points, size_t i) {
    if (is_upper(points[i])) {
      append_lower(out, points, i);
    } else if (is_lower(points[i])) {
      append_mapped(out, points[i], kUpperTable);
    } else {
      utf8::append(out, points[i]);
    }
  });
}

std::string hex(char32_t value, int digits) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (auto rest = static_cast<uint32_t>(value); rest != 0 || digits > 0; rest >>= 4, --digits) {
    out.push_back(kDigits[rest & 0xF]);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace m2::jinja::unicode
