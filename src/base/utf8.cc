#include "base/utf8.h"

#include <cstring>

namespace m2::utf8 {
namespace {

struct LeadByte {
  int length;       // of the whole sequence; 0: never starts one
  uint8_t low;      // allowed range of the second byte, which excludes overlong forms,
  uint8_t high;     // surrogates and values above U+10FFFF (Unicode table 3-7)
  uint8_t payload;  // mask of the lead byte's own bits
};

constexpr LeadByte lead_byte(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0, 0x7F};
  if (byte < 0xC2) return {0, 0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF, 0x1F};
  if (byte == 0xE0) return {3, 0xA0, 0xBF, 0x0F};
  if (byte == 0xED) return {3, 0x80, 0x9F, 0x0F};
  if (byte < 0xF0) return {3, 0x80, 0xBF, 0x0F};
  if (byte == 0xF0) return {4, 0x90, 0xBF, 0x07};
  if (byte < 0xF4) return {4, 0x80, 0xBF, 0x07};
  if (byte == 0xF4) return {4, 0x80, 0x8F, 0x07};
  return {0, 0, 0, 0};
}

// Bytes of ASCII at `pos`, eight at a time.
size_t ascii_run(std::string_view s, size_t pos) {
  const size_t start = pos;
  constexpr uint64_t kHighBits = 0x8080808080808080;
  for (; pos + 8 <= s.size(); pos += 8) {
    uint64_t word;
    std::memcpy(&word, s.data() + pos, 8);
    if ((word & kHighBits) != 0) break;
  }
  while (pos < s.size() && static_cast<uint8_t>(s[pos]) < 0x80) ++pos;
  return pos - start;
}

}  // namespace

Decoded decode(std::string_view s, size_t pos) {
  const auto first = static_cast<uint8_t>(s[pos]);
  if (first < 0x80) return {first, 1, true};
  const LeadByte lead = lead_byte(first);
  if (lead.length == 0) return {kReplacement, 1, false};
  char32_t code_point = first & lead.payload;
  for (int i = 1; i < lead.length; ++i) {
    const size_t at = pos + static_cast<size_t>(i);
    if (at >= s.size()) return {kReplacement, i, false};
    const auto byte = static_cast<uint8_t>(s[at]);
    const uint8_t low = i == 1 ? lead.low : 0x80;
    const uint8_t high = i == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high) return {kReplacement, i, false};
    code_point = (code_point << 6) | (byte & 0x3F);
  }
  return {code_point, lead.length, true};
}

void append(std::string& out, char32_t code_point) {
  if (code_point > kMaxCodePoint || (code_point >= 0xD800 && code_point <= 0xDFFF)) {
    code_point = kReplacement;
  }
  const auto byte = [](char32_t value) { return static_cast<char>(static_cast<uint8_t>(value)); };
  if (code_point < 0x80) {
    out.push_back(byte(code_point));
  } else if (code_point < 0x800) {
    out.push_back(byte(0xC0 | (code_point >> 6)));
    out.push_back(byte(0x80 | (code_point & 0x3F)));
  } else if (code_point < 0x10000) {
    out.push_back(byte(0xE0 | (code_point >> 12)));
    out.push_back(byte(0x80 | ((code_point >> 6) & 0x3F)));
    out.push_back(byte(0x80 | (code_point & 0x3F)));
  } else {
    out.push_back(byte(0xF0 | (code_point >> 18)));
    out.push_back(byte(0x80 | ((code_point >> 12) & 0x3F)));
    out.push_back(byte(0x80 | ((code_point >> 6) & 0x3F)));
    out.push_back(byte(0x80 | (code_point & 0x3F)));
  }
}

std::string encode(char32_t code_point) {
  std::string out;
  append(out, code_point);
  return out;
}

bool is_valid(std::string_view s) {
  for (size_t pos = 0; pos < s.size();) {
    pos += ascii_run(s, pos);
    if (pos == s.size()) return true;
    const Decoded unit = decode(s, pos);
    if (!unit.valid) return false;
    pos += static_cast<size_t>(unit.length);
  }
  return true;
}

std::string replace_invalid(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (size_t pos = 0; pos < s.size();) {
    const size_t ascii = ascii_run(s, pos);
    out.append(s, pos, ascii);
    pos += ascii;
    if (pos == s.size()) break;
    const Decoded unit = decode(s, pos);
    if (unit.valid) {
      out.append(s, pos, static_cast<size_t>(unit.length));
    } else {
      append(out, kReplacement);
    }
    pos += static_cast<size_t>(unit.length);
  }
  return out;
}

size_t count(std::string_view s) {
  size_t units = 0;
  for (size_t pos = 0; pos < s.size(); ++units) {
    const size_t ascii = ascii_run(s, pos);
    units += ascii;
    pos += ascii;
    if (pos == s.size()) break;
    pos += static_cast<size_t>(decode(s, pos).length);
  }
  return units;
}

std::u32string to_utf32(std::string_view s) {
  std::u32string out;
  out.reserve(s.size());
  for (size_t pos = 0; pos < s.size();) {
    const Decoded unit = decode(s, pos);
    out.push_back(unit.code_point);
    pos += static_cast<size_t>(unit.length);
  }
  return out;
}

std::string from_utf32(std::u32string_view s) {
  std::string out;
  out.reserve(s.size());
  for (const char32_t code_point : s) append(out, code_point);
  return out;
}

size_t incomplete_suffix_length(std::string_view s) {
  const size_t max_length = s.size() < 3 ? s.size() : 3;
  for (size_t length = 1; length <= max_length; ++length) {
    const size_t start = s.size() - length;
    if (is_continuation(s[start])) continue;
    const LeadByte lead = lead_byte(static_cast<uint8_t>(s[start]));
    const bool cut_off = static_cast<size_t>(lead.length) > length;
    const bool well_formed_so_far = static_cast<size_t>(decode(s, start).length) == length;
    return cut_off && well_formed_so_far ? length : 0;
  }
  return 0;
}

}  // namespace m2::utf8
