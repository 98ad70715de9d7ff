#include "chat/white_space.h"

#include "base/utf8.h"

namespace m2::chat {
namespace {

// Python's str.isspace: the Unicode white space characters and the four ASCII separators.
bool is_unicode_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

}  // namespace

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kWhiteSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kWhiteSpace) - first + 1);
}

size_t find_visible(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const utf8::Decoded unit = utf8::decode(text, pos);
    if (!is_unicode_space(unit.code_point)) return pos;
    pos += static_cast<size_t>(unit.length);
  }
  return std::string_view::npos;
}

size_t visible_end(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t start = end - 1;
    while (start > 0 && end - start < 4 && utf8::is_continuation(text[start])) --start;
    const utf8::Decoded unit = utf8::decode(text, start);
    if (start + static_cast<size_t>(unit.length) != end || !is_unicode_space(unit.code_point)) {
      return end;
    }
    end = start;
  }
  return 0;
}

}  // namespace m2::chat
