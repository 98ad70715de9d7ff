// Truncation, padding and joining of encodings.
#include "m2/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

// Windows overlap, so a small input can ask for very many tokens.
constexpr size_t kMaxOverflowTokens = size_t{1} << 24;

// Calls fn on each of the vectors that have one entry for each token, in both encodings.
template <typename Fn>
void for_each_field(Encoding& a, const Encoding& b, const Fn& fn) {
  fn(a.ids, b.ids);
  fn(a.tokens, b.tokens);
  fn(a.offsets, b.offsets);
  fn(a.type_ids, b.type_ids);
  fn(a.word_ids, b.word_ids);
  fn(a.sequence_ids, b.sequence_ids);
  fn(a.special_tokens_mask, b.special_tokens_mask);
  fn(a.attention_mask, b.attention_mask);
}

void append(Encoding& to, const Encoding& from) {
  for_each_field(to, from, [](auto& a, const auto& b) { a.insert(a.end(), b.begin(), b.end()); });
}

// Tokens [begin, end), without overflowing windows.
Encoding slice(const Encoding& encoding, TextRange range) {
  Encoding result;
  for_each_field(result, encoding, [&](auto& a, const auto& b) {
    a.assign(b.begin() + static_cast<std::ptrdiff_t>(range.begin),
             b.begin() + static_cast<std::ptrdiff_t>(range.end));
  });
  return result;
}

// Windows of `max_length` tokens, each sharing `stride` with the one before, the kept one first.
std::vector<TextRange> windows(size_t size, size_t max_length, size_t stride, Side side) {
  const size_t step = max_length - stride;
  std::vector<TextRange> ranges;
  for (size_t done = 0;; done += step) {
    const size_t length = std::min(max_length, size - done);
    const size_t begin = side == Side::kRight ? done : size - done - length;
    ranges.push_back({begin, begin + length});
    M2_REQUIRE(ErrorCode::kResourceExhausted, ranges.size() * max_length <= kMaxOverflowTokens,
               "truncation: the overflowing windows have more than ", kMaxOverflowTokens,
               " tokens");
    if (done + length == size) return ranges;
  }
}

void truncate_one(Encoding& encoding, size_t max_length, const Truncation& truncation) {
  if (max_length >= encoding.size()) return;
  if (max_length == 0) {
    Encoding all = std::exchange(encoding, {});
    encoding.overflowing.push_back(std::move(all));
    return;
  }
  M2_REQUIRE(ErrorCode::kInvalidArgument, truncation.stride < max_length, "truncation: stride ",
             truncation.stride, " must be less than max_length ", max_length);
  const std::vector<TextRange> ranges =
      windows(encoding.size(), max_length, truncation.stride, truncation.side);
  Encoding kept = slice(encoding, ranges[0]);
  for (size_t i = 1; i < ranges.size(); ++i) {
    kept.overflowing.push_back(slice(encoding, ranges[i]));
  }
  encoding = std::move(kept);
}

// Lengths of a pair that together have at most `max_length` tokens: the longer one is cut first,
// then both to one half.
std::pair<size_t, size_t> longest_first_lengths(size_t first, size_t second, size_t max_length) {
  const size_t shorter = std::min(first, second);
  size_t n1 = shorter;
  size_t n2 = n1 > max_length ? n1 : std::max(n1, max_length - n1);
  if (n1 + n2 > max_length) {
    n1 = max_length / 2;
    n2 = n1 + max_length % 2;
  }
  return first > second ? std::pair(n2, n1) : std::pair(n1, n2);
}

// The whole pair as one window: `second` behind `first`, without their overflowing windows.
Encoding join(const Encoding& first, const Encoding& second) {
  Encoding result = slice(first, {0, first.size()});
  append(result, second);
  return result;
}

void pad_one(Encoding& encoding, size_t length, const Padding& padding) {
  for (Encoding& window : encoding.overflowing) pad_one(window, length, padding);
  if (encoding.size() >= length) return;
  const size_t missing = length - encoding.size();
  const auto fill = [&](auto& field, const auto& value) {
    field.insert(padding.side == Side::kRight ? field.end() : field.begin(), missing, value);
  };
  fill(encoding.ids, padding.id);
  fill(encoding.tokens, padding.token);
  fill(encoding.offsets, TextRange{0, 0});
  fill(encoding.type_ids, padding.type_id);
  fill(encoding.word_ids, kNoIndex);
  fill(encoding.sequence_ids, kNoIndex);
  fill(encoding.special_tokens_mask, uint8_t{1});
  fill(encoding.attention_mask, uint8_t{0});
}

}  // namespace

void truncate(Encoding& first, Encoding* second, const Truncation& truncation) {
  const size_t max_length = truncation.max_length;
  M2_REQUIRE(ErrorCode::kInvalidArgument, max_length == 0 || truncation.stride < max_length,
             "truncation: stride ", truncation.stride, " must be less than max_length ",
             max_length);
  const size_t total = first.size() + (second != nullptr ? second->size() : 0);
  if (max_length == 0) {
    truncate_one(first, 0, truncation);
    if (second != nullptr) truncate_one(*second, 0, truncation);
    return;
  }
  if (total <= max_length) return;
  if (truncation.strategy == TruncationStrategy::kLongestFirst) {
    if (second == nullptr) return truncate_one(first, max_length, truncation);
    const auto [n1, n2] = longest_first_lengths(first.size(), second->size(), max_length);
    truncate_one(first, n1, truncation);
    truncate_one(*second, n2, truncation);
    return;
  }
  const bool cut_first = truncation.strategy == TruncationStrategy::kOnlyFirst;
  Encoding* target = cut_first ? &first : second;
  M2_REQUIRE(ErrorCode::kInvalidArgument, target != nullptr,
             "truncation: only_second needs a second text");
  const size_t excess = total - max_length;
  M2_REQUIRE(ErrorCode::kInvalidArgument, target->size() > excess,
             "truncation: sequence too short: ", excess, " tokens are to be removed from the ",
             cut_first ? "first" : "second", ", which has ", target->size());
  truncate_one(*target, target->size() - excess, truncation);
}

Encoding merge_pair(Encoding first, const Encoding& second) {
  const size_t num_windows = (first.overflowing.size() + 1) * (second.overflowing.size() + 1);
  M2_REQUIRE(
      ErrorCode::kResourceExhausted,
      num_windows == 1 || num_windows * (first.size() + second.size() + 1) <= kMaxOverflowTokens,
      "truncation: ", num_windows, " overflowing windows of a pair are too many");
  std::vector<Encoding> overflowing;
  for (const Encoding& window : first.overflowing) {
    overflowing.push_back(join(window, second));
    for (const Encoding& other : second.overflowing) overflowing.push_back(join(window, other));
  }
  for (const Encoding& other : second.overflowing) overflowing.push_back(join(first, other));
  append(first, second);
  first.overflowing = std::move(overflowing);
  return first;
}

void pad(std::span<Encoding> batch, const Padding& padding) {
  size_t length = padding.length.value_or(0);
  if (!padding.length) {
    for (const Encoding& encoding : batch) length = std::max(length, encoding.size());
  }
  if (padding.multiple_of > 0 && length % padding.multiple_of > 0) {
    length += padding.multiple_of - length % padding.multiple_of;
  }
  M2_REQUIRE(ErrorCode::kResourceExhausted, length <= kMaxOverflowTokens, "padding: length ",
             length, " is more than ", kMaxOverflowTokens);
  for (Encoding& encoding : batch) pad_one(encoding, length, padding);
}

}  // namespace m2
