#include "text/source_text.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace m2 {

SourceText::SourceText(const TextInput& input) : text_(input.text) {
  // U+FFFD takes up to three bytes for one ill-formed byte.
  M2_REQUIRE(ErrorCode::kResourceExhausted, input.text.size() < UINT32_MAX / 3,
             "encode: a text of ", input.text.size(), " bytes is too long");
  if (!utf8::is_valid(input.text)) repair(input.text);
  if (!input.untrusted.empty()) set_untrusted(input.untrusted, input.text.size());
}

void SourceText::repair(std::string_view input) {
  for (size_t pos = 0; pos < input.size();) {
    const utf8::Decoded unit = utf8::decode(input, pos);
    utf8::append(repaired_, unit.code_point);
    origin_.resize(repaired_.size(), static_cast<uint32_t>(pos));
    pos += static_cast<size_t>(unit.length);
  }
  origin_.push_back(static_cast<uint32_t>(input.size()));
  text_ = repaired_;
}

void SourceText::set_untrusted(std::span<const TextRange> untrusted, size_t input_size) {
  std::vector<TextRange> ranges;
  for (const TextRange& range : untrusted) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, range.begin <= range.end && range.end <= input_size,
               "encode: untrusted span ", range.begin, "..", range.end, " of a text of ",
               input_size, " bytes");
    if (range.begin < range.end) ranges.push_back(range);
  }
  if (!origin_.empty()) {
    // A repaired unit is untrusted as a whole if a part of it is.
    for (TextRange& range : ranges) {
      const auto first = std::ranges::upper_bound(origin_, range.begin) - 1;
      range.begin =
          static_cast<size_t>(std::ranges::lower_bound(origin_, *first) - origin_.begin());
      range.end =
          static_cast<size_t>(std::ranges::lower_bound(origin_, range.end) - origin_.begin());
    }
  }
  std::ranges::sort(ranges, {}, &TextRange::begin);
  for (const TextRange& range : ranges) {
    if (!untrusted_.empty() && range.begin <= untrusted_.back().end) {
      untrusted_.back().end = std::max(untrusted_.back().end, range.end);
    } else {
      untrusted_.push_back(range);
    }
  }
}

void SourceText::to_offsets(std::span<TextRange> ranges, OffsetUnit unit) const {
  if (unit == OffsetUnit::kBytes) {
    if (origin_.empty()) return;
    for (TextRange& range : ranges) range = {origin_[range.begin], origin_[range.end]};
    return;
  }
  std::vector<uint32_t> index(text_.size() + 1);  // by byte: code points that start before it
  uint32_t code_points = 0;
  for (size_t pos = 0; pos < text_.size(); ++pos) {
    index[pos] = code_points;
    if (pos + 1 == text_.size() || !utf8::is_continuation(text_[pos + 1])) ++code_points;
  }
  index.back() = code_points;
  for (TextRange& range : ranges) range = {index[range.begin], index[range.end]};
}

}  // namespace m2
