#include "jinja/str.h"

#include <algorithm>
#include <mutex>

#include "base/utf8.h"
#include "jinja/fault.h"

namespace m2::jinja {
namespace {

constexpr size_t kIndexStride = 64;  // code points between two entries of the position index

// Advances `pos` by `count` code points of valid UTF-8.
size_t skip_code_points(std::string_view text, size_t pos, size_t count) {
  for (; count > 0; --count) {
    ++pos;
    while (pos < text.size() && utf8::is_continuation(text[pos])) ++pos;
  }
  return pos;
}

// Of valid UTF-8, where counting the bytes that begin code points is enough.
size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(),
                                           [](char byte) { return !utf8::is_continuation(byte); }));
}

// The first range that ends behind `pos`.
std::vector<ByteRange>::const_iterator first_range(const std::vector<ByteRange>& ranges,
                                                   size_t pos) {
  return std::lower_bound(ranges.begin(), ranges.end(), pos,
                          [](const ByteRange& range, size_t at) { return range.end <= at; });
}

}  // namespace

struct Str::Data {
  Data(std::string bytes, std::vector<ByteRange> ranges)
      : text(std::move(bytes)), length(count_code_points(text)), untrusted(std::move(ranges)) {}

  const std::string text;
  const size_t length;
  const std::vector<ByteRange> untrusted;
  // Byte position of every kIndexStride-th code point. Literals are shared between threads.
  mutable std::once_flag index_made;
  mutable std::vector<size_t> index;
};

Str::Str(std::string text, Trust trust) {
  std::vector<ByteRange> ranges;
  if (trust == Trust::kUntrusted && !text.empty()) ranges.push_back({0, text.size()});
  *this = Str(std::move(text), std::move(ranges));
}

Str::Str(std::string text, std::vector<ByteRange> untrusted) {
  if (!text.empty()) data_ = std::make_shared<const Data>(std::move(text), std::move(untrusted));
}

std::string_view Str::view() const {
  return data_ ? std::string_view(data_->text) : std::string_view();
}

size_t Str::length() const { return data_ ? data_->length : 0; }

const std::vector<ByteRange>& Str::untrusted() const {
  static const std::vector<ByteRange> kNone;
  return data_ ? data_->untrusted : kNone;
}

Str Str::as_markup(bool markup) const {
  Str copy = *this;
  copy.markup_ = markup;
  return copy;
}

Trust Str::trust_of(size_t begin, size_t end) const {
  const auto range = first_range(untrusted(), begin);
  return range != untrusted().end() && range->begin < end ? Trust::kUntrusted : Trust::kTrusted;
}

size_t Str::byte_offset(size_t index) const {
  if (is_ascii()) return index;
  if (index == length()) return size();
  if (index < kIndexStride) return skip_code_points(view(), 0, index);
  std::call_once(data_->index_made, [this] {
    size_t pos = 0;
    for (size_t i = 0; i < length(); i += kIndexStride) {
      data_->index.push_back(pos);
      pos = skip_code_points(view(), pos, std::min(kIndexStride, length() - i));
    }
  });
  return skip_code_points(view(), data_->index[index / kIndexStride], index % kIndexStride);
}

Str Str::substr(size_t begin, size_t end) const {
  if (begin == 0 && end == size()) return *this;
  StrBuilder out;
  out.append(*this, begin, end);
  return out.take().as_markup(markup_);
}

Str Str::derive(std::string text) const {
  return Str(std::move(text), untrusted().empty() ? Trust::kTrusted : Trust::kUntrusted)
      .as_markup(markup_);
}

void StrBuilder::append(std::string_view text, Trust trust) {
  if (text.size() > max_bytes_ - text_.size()) {
    raise_exhausted("text grows beyond ", max_bytes_, " bytes");
  }
  const size_t begin = text_.size();
  text_.append(text);
  if (trust == Trust::kUntrusted) mark(begin, text_.size());
}

void StrBuilder::append(const Str& text, size_t begin, size_t end) {
  const size_t at = text_.size();
  append(text.view().substr(begin, end - begin));
  const auto& ranges = text.untrusted();
  for (auto range = first_range(ranges, begin); range != ranges.end() && range->begin < end;
       ++range) {
    mark(at + std::max(range->begin, begin) - begin, at + std::min(range->end, end) - begin);
  }
}

void StrBuilder::append_repeated(const Str& text, size_t count) {
  if (text.empty()) return;
  if (count > (max_bytes_ - text_.size()) / text.size()) {
    raise_exhausted("text grows beyond ", max_bytes_, " bytes");
  }
  for (size_t i = 0; i < count; ++i) append(text);
}

void StrBuilder::append_instead(const Str& source, size_t begin, size_t end,
                                std::string_view text) {
  append(text, source.trust_of(begin, end));
}

void StrBuilder::mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!untrusted_.empty() && untrusted_.back().end == begin) {
    untrusted_.back().end = end;
  } else {
    untrusted_.push_back({begin, end});
  }
}

Str StrBuilder::take() {
  Str result(std::move(text_), std::move(untrusted_));
  text_.clear();
  untrusted_.clear();
  return result;
}

}  // namespace m2::jinja
