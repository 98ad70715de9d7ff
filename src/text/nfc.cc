#include "text/nfc.h"

#include <algorithm>
#include <cstddef>
#include <span>

#include "base/utf8.h"
#include "text/unicode.h"

namespace m2 {
namespace {

// Hangul syllables compose by arithmetic (Unicode standard, chapter 3.12).
constexpr char32_t kLBase = 0x1100, kVBase = 0x1161, kTBase = 0x11A7, kSBase = 0xAC00;
constexpr char32_t kLCount = 19, kVCount = 21, kTCount = 28;
constexpr char32_t kSCount = kLCount * kVCount * kTCount;

// A character on its way through the normaliser. `change` is the number of characters of the result
// minus that of the source which it accounts for: 1 for the second and later parts of a
// decomposition, less than 0 where several source characters became one.
struct Part {
  char32_t code_point;
  int change;
  uint8_t combining_class;
};

class SegmentNormalizer {
 public:
  // The NFC of one segment as parts; valid until the next call.
  std::span<const Part> normalize(std::span<const char32_t> source) {
    parts_.clear();
    for (const char32_t code_point : source) decompose(code_point);
    sort_marks();
    compose();
    return parts_;
  }

 private:
  void add(char32_t code_point, bool is_first) {
    parts_.push_back({code_point, is_first ? 0 : 1, unicode::combining_class(code_point)});
  }

  void decompose(char32_t code_point) {
    if (code_point >= kSBase && code_point < kSBase + kSCount) {
      const char32_t index = code_point - kSBase;
      add(kLBase + index / (kVCount * kTCount), true);
      add(kVBase + index / kTCount % kVCount, false);
      if (index % kTCount != 0) add(kTBase + index % kTCount, false);
      return;
    }
    const std::span<const char32_t> decomposed = unicode::decomposition(code_point);
    if (decomposed.empty()) add(code_point, true);
    for (size_t i = 0; i < decomposed.size(); ++i) add(decomposed[i], i == 0);
  }

  void sort_marks() {
    const auto is_starter = [](const Part& part) { return part.combining_class == 0; };
    const auto by_class = [](const Part& a, const Part& b) {
      return a.combining_class < b.combining_class;
    };
    for (auto begin = parts_.begin(); begin != parts_.end();) {
      const auto end = std::find_if(begin, parts_.end(), is_starter);
      std::stable_sort(begin, end, by_class);
      begin = end == parts_.end() ? end : end + 1;
    }
  }

  static char32_t compose_pair(char32_t first, char32_t second) {
    if (first - kLBase < kLCount && second - kVBase < kVCount) {
      return kSBase + ((first - kLBase) * kVCount + (second - kVBase)) * kTCount;
    }
    const bool is_lv = first - kSBase < kSCount && (first - kSBase) % kTCount == 0;
    if (is_lv && second > kTBase && second < kTBase + kTCount) return first + (second - kTBase);
    return unicode::composition(first, second);
  }

  void compose() {
    constexpr size_t kNone = static_cast<size_t>(-1);
    size_t starter = kNone;
    size_t out = 0;
    for (size_t i = 0; i < parts_.size(); ++i) {
      const Part part = parts_[i];
      // Blocked: a mark of the same or a higher class stands between the starter and this one.
      const bool adjacent = starter != kNone && out == starter + 1;
      const bool blocked = starter == kNone ||
                           (!adjacent && parts_[out - 1].combining_class >= part.combining_class);
      const char32_t composed =
          blocked ? 0 : compose_pair(parts_[starter].code_point, part.code_point);
      if (composed != 0) {
        parts_[starter].code_point = composed;
        parts_[starter].change += part.change - 1;
        continue;
      }
      if (part.combining_class == 0) starter = out;
      parts_[out++] = part;
    }
    parts_.resize(out);
  }

  std::vector<Part> parts_;
};

// The first code point from `pos` on that NFC may change or compose with the one before.
size_t find_unstable(std::string_view text, size_t pos) {
  const unicode::PropertyTable& properties = unicode::PropertyTable::instance();
  constexpr char32_t kFirstUnstable = 0x300;
  constexpr uint8_t kItsLeadByte = 0xCC;
  static_assert((kFirstUnstable >> 6) == (kItsLeadByte & 0x1F));
  while (pos < text.size()) {
    if (static_cast<uint8_t>(text[pos]) < kItsLeadByte) {
      ++pos;  // ASCII, or a part of a code point below U+0300
      continue;
    }
    const utf8::Decoded unit = utf8::decode(text, pos);
    if (properties[unit.code_point].needs_nfc()) break;
    pos += static_cast<size_t>(unit.length);
  }
  return pos;
}

class Normalizer {
 public:
  Normalizer(std::string_view text, std::vector<SourceRange>* alignment)
      : text_(text), alignment_(alignment) {
    out_.reserve(text.size());
  }

  std::string run() && {
    size_t copied = 0;  // text before it is in out_
    for (size_t pos = find_unstable(text_, 0); pos < text_.size();) {
      // The code point before may be the first half of a composition.
      size_t begin = pos;
      while (begin > copied && utf8::is_continuation(text_[--begin])) continue;
      copy(copied, begin);
      const size_t end = segment_end(pos);
      normalize(begin, end);
      copied = end;
      pos = find_unstable(text_, end);
    }
    copy(copied, text_.size());
    return std::move(out_);
  }

 private:
  // The first code point from `pos` on that begins a new segment.
  [[nodiscard]] size_t segment_end(size_t pos) const {
    const unicode::PropertyTable& properties = unicode::PropertyTable::instance();
    while (pos < text_.size()) {
      const utf8::Decoded unit = utf8::decode(text_, pos);
      if (!properties[unit.code_point].needs_nfc()) break;
      pos += static_cast<size_t>(unit.length);
    }
    return pos;
  }

  void copy(size_t begin, size_t end) {
    out_.append(text_, begin, end - begin);
    if (alignment_ == nullptr) return;
    for (size_t pos = begin; pos < end;) {
      const auto length = static_cast<size_t>(utf8::decode(text_, pos).length);
      align(length, {static_cast<uint32_t>(pos), static_cast<uint32_t>(pos + length)});
      pos += length;
    }
  }

  void align(size_t num_bytes, SourceRange range) {
    if (alignment_ != nullptr) alignment_->insert(alignment_->end(), num_bytes, range);
  }

  void normalize(size_t begin, size_t end) {
    source_.clear();
    ranges_.clear();
    for (size_t pos = begin; pos < end;) {
      const utf8::Decoded unit = utf8::decode(text_, pos);
      const size_t next = pos + static_cast<size_t>(unit.length);
      source_.push_back(unit.code_point);
      ranges_.push_back({static_cast<uint32_t>(pos), static_cast<uint32_t>(next)});
      pos = next;
    }
    size_t index = 0;  // of the next source code point
    for (const Part& part : segment_.normalize(source_)) {
      const size_t before = out_.size();
      utf8::append(out_, part.code_point);
      const size_t from = part.change > 0 && index > 0 ? index - 1 : index;
      align(out_.size() - before, ranges_[std::min(from, ranges_.size() - 1)]);
      index += static_cast<size_t>(1 - part.change);
    }
  }

  std::string_view text_;
  std::vector<SourceRange>* alignment_;
  std::string out_;
  std::vector<char32_t> source_;
  std::vector<SourceRange> ranges_;
  SegmentNormalizer segment_;
};

}  // namespace

bool is_certainly_nfc(std::string_view text) { return find_unstable(text, 0) == text.size(); }

std::string to_nfc(std::string_view text) { return Normalizer(text, nullptr).run(); }

std::string to_nfc(std::string_view text, std::vector<SourceRange>& alignment) {
  alignment.clear();
  alignment.reserve(text.size());
  return Normalizer(text, &alignment).run();
}

}  // namespace m2
