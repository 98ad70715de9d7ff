// The best scores of every row: what most samplers look at, of 200,000.
#pragma once

#include <bit>
#include <cstdint>

#include "m2/tensor.h"

namespace m2 {

struct TopScoresArgs {
  TensorView scores;      // [T, V] f32
  TensorView top_ids;     // [T, K] i32, output; 1 <= K <= V
  TensorView top_scores;  // [T, K] f32, output
};

void check(const TopScoresArgs& args);

/// A number that orders as the scores do: NaN before all others, so that nobody misses one, -0 as
/// 0.
constexpr std::uint32_t score_rank(float score) {
  if (score != score) return 0xFFFFFFFFU;
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

namespace reference {
/// The K largest scores of each row in descending order, the lower id first among equals. NaN ranks
/// above everything.
void top_scores(const TopScoresArgs& args);
}  // namespace reference
}  // namespace m2
