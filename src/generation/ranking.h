// Orders scores only as far as somebody looks: of 200,000 tokens a filter keeps a few dozen.
#pragma once

#include "generation/live_scores.h"
#include "generation/logits_scratch.h"

#include <bit>
#include <cstdint>
#include <span>

namespace m2::generation {

struct RankedScore {
  float score;
  std::int32_t id;
};

/// The k-th largest score (k is clamped to their number). NaN counts as the smallest.
float kth_largest(std::span<const float> scores, std::int64_t k, LogitsScratch& scratch);

/// An unsigned number that orders as the floats do; -0 and 0 are the same.
inline std::uint32_t ordered_bits(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

/// Ids of scores, in an order that is sorted lazily; equal ranks by lower id.
/// Lives in `scratch.keys()`: one at a time.
class Ranking {
 public:
  /// Best score first; only scores above `floor`.
  static Ranking by_score(std::span<const float> scores, LogitsScratch& scratch,
                          float floor = kRemoved) {
    return Ranking(scores, floor, scratch, [](float score) { return ~ordered_bits(score); });
  }
  /// Smallest distance(score) first.
  template <typename Distance>
  static Ranking by_distance(std::span<const float> scores, const Distance& distance,
                             LogitsScratch& scratch) {
    return Ranking(scores, kRemoved, scratch,
                   [&](float score) { return ordered_bits(distance(score)); });
  }

  [[nodiscard]] std::int64_t size() const { return static_cast<std::int64_t>(keys_.size()); }

  /// The id at a rank in [0, size()).
  std::int32_t id(std::int64_t rank) {
    if (rank >= num_sorted_) sort_beyond(rank);
    return static_cast<std::int32_t>(keys_[static_cast<std::size_t>(rank)] & 0xFFFFFFFFU);
  }

 private:
  template <typename Rank>
  Ranking(std::span<const float> scores, float floor, LogitsScratch& scratch, const Rank& rank) {
    const std::span<std::uint64_t> keys = scratch.keys();
    std::size_t count = 0;
    for_each_above(scores, floor, [&](std::size_t id, float score) {
      keys[count++] = std::uint64_t{rank(score)} << 32U | id;
    });
    keys_ = keys.first(count);
  }

  void sort_beyond(std::int64_t rank);

  std::span<std::uint64_t> keys_;  // rank in the upper half, id in the lower
  std::int64_t num_sorted_ = 0;
};

}  // namespace m2::generation
