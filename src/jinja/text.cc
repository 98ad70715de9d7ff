#include "jinja/text.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <unordered_set>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

constexpr size_t kNotFound = std::string_view::npos;

// Begin of the code point that ends at `end`.
size_t previous(std::string_view text, size_t end) {
  --end;
  while (end > 0 && utf8::is_continuation(text[end])) --end;
  return end;
}

size_t next(std::string_view text, size_t begin) {
  return begin + static_cast<size_t>(utf8::decode(text, begin).length);
}

bool space_at(std::string_view text, size_t pos) {
  return unicode::is_space(utf8::decode(text, pos).code_point);
}

// Every byte that begins an occurrence, from the left, without overlaps.
template <typename Visit>
void for_each_occurrence(std::string_view text, std::string_view needle, size_t max_count,
                         const Visit& visit) {
  size_t from = 0;
  for (size_t count = 0; count < max_count; ++count) {
    const size_t at = find_text(text, needle, from);
    if (at == kNotFound) return;
    visit(at);
    from = at + needle.size();
  }
}

bool is_line_end(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

}  // namespace

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return kNotFound;
  if (needle.empty()) return from;
  if (needle.size() > text.size() - from) return kNotFound;
  // Unlike string_view::find this is linear for every needle.
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return found == nullptr ? kNotFound
                          : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t rfind_text(std::string_view text, std::string_view needle) {
  const std::string reversed_text(text.rbegin(), text.rend());
  const std::string reversed_needle(needle.rbegin(), needle.rend());
  const size_t at = find_text(reversed_text, reversed_needle, 0);
  return at == kNotFound ? kNotFound : text.size() - at - needle.size();
}

Str strip(const Str& text, const Str* chars, Side side) {
  const std::string_view bytes = text.view();
  std::unordered_set<char32_t> set;
  if (chars != nullptr) {
    for (const char32_t c : utf8::to_utf32(chars->view())) set.insert(c);
  }
  const auto strips = [&](size_t pos) {
    const char32_t c = utf8::decode(bytes, pos).code_point;
    return chars == nullptr ? unicode::is_space(c) : set.contains(c);
  };
  size_t begin = 0;
  size_t end = bytes.size();
  if (side != Side::kRight) {
    while (begin < end && strips(begin)) begin = next(bytes, begin);
  }
  if (side != Side::kLeft) {
    while (end > begin && strips(previous(bytes, end))) end = previous(bytes, end);
  }
  return text.substr(begin, end);
}

std::vector<Str> split(const Str& text, std::string_view separator, size_t max_splits) {
  if (separator.empty()) raise("empty separator");
  std::vector<Str> parts;
  size_t begin = 0;
  for_each_occurrence(text.view(), separator, max_splits, [&](size_t at) {
    parts.push_back(text.substr(begin, at));
    begin = at + separator.size();
  });
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<Str> rsplit(const Str& text, std::string_view separator, size_t max_splits) {
  if (separator.empty()) raise("empty separator");
  const std::string reversed_text(text.view().rbegin(), text.view().rend());
  const std::string reversed_separator(separator.rbegin(), separator.rend());
  std::vector<Str> parts;
  size_t end = text.size();
  for_each_occurrence(reversed_text, reversed_separator, max_splits, [&](size_t at) {
    parts.push_back(text.substr(text.size() - at, end));
    end = text.size() - at - separator.size();
  });
  parts.push_back(text.substr(0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Str> split_white_space(const Str& text, size_t max_splits) {
  const std::string_view bytes = text.view();
  std::vector<Str> parts;
  size_t pos = 0;
  while (true) {
    while (pos < bytes.size() && space_at(bytes, pos)) pos = next(bytes, pos);
    if (pos == bytes.size()) return parts;
    if (parts.size() == max_splits) {
      parts.push_back(strip(text.substr(pos), nullptr, Side::kRight));
      return parts;
    }
    const size_t begin = pos;
    while (pos < bytes.size() && !space_at(bytes, pos)) pos = next(bytes, pos);
    parts.push_back(text.substr(begin, pos));
  }
}

std::vector<Str> rsplit_white_space(const Str& text, size_t max_splits) {
  const std::string_view bytes = text.view();
  std::vector<Str> parts;
  size_t end = bytes.size();
  while (true) {
    while (end > 0 && space_at(bytes, previous(bytes, end))) end = previous(bytes, end);
    if (end == 0) break;
    if (parts.size() == max_splits) {
      parts.push_back(strip(text.substr(0, end), nullptr, Side::kLeft));
      break;
    }
    size_t begin = end;
    while (begin > 0 && !space_at(bytes, previous(bytes, begin))) begin = previous(bytes, begin);
    parts.push_back(text.substr(begin, end));
    end = begin;
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Str> split_lines(const Str& text, bool keep_ends) {
  const std::string_view bytes = text.view();
  std::vector<Str> lines;
  size_t begin = 0;
  for (size_t pos = 0; pos < bytes.size();) {
    const size_t end = pos;
    const char32_t c = utf8::decode(bytes, pos).code_point;
    pos = next(bytes, pos);
    if (!is_line_end(c)) continue;
    if (c == '\r' && pos < bytes.size() && bytes[pos] == '\n') ++pos;
    lines.push_back(text.substr(begin, keep_ends ? pos : end));
    begin = pos;
  }
  if (begin < bytes.size()) lines.push_back(text.substr(begin));
  return lines;
}

Str replace(Runtime& runtime, const Str& text, const Str& from, const Str& to, size_t max_count) {
  StrBuilder out = runtime.builder();
  size_t done = 0;
  if (from.empty()) {  // before every code point and at the end
    const std::string_view bytes = text.view();
    for (size_t count = 0; count < max_count; ++count) {
      out.append(to);
      if (done == bytes.size()) break;
      const size_t end = next(bytes, done);
      out.append(text, done, end);
      done = end;
    }
  } else {
    for_each_occurrence(text.view(), from.view(), max_count, [&](size_t at) {
      out.append(text, done, at);
      out.append(to);
      done = at + from.size();
    });
    if (done == 0) return text;
  }
  out.append(text, done, text.size());
  return out.take().as_markup(text.is_markup());
}

Str pad(Runtime& runtime, const Str& text, Int width, const Str& fill, Side text_side) {
  if (fill.length() != 1) raise("the fill character must be exactly one character long");
  const Int missing = std::max<Int>(width, 0) - static_cast<Int>(text.length());
  if (missing <= 0) return text;
  Int left = 0;
  if (text_side == Side::kRight) left = missing;
  if (text_side == Side::kBoth) left = missing / 2 + (missing & width & 1);
  StrBuilder out = runtime.builder();
  out.append_repeated(fill, clamp_count(left));
  out.append(text);
  out.append_repeated(fill, clamp_count(missing - left));
  return out.take().as_markup(text.is_markup());
}

}  // namespace m2::jinja
