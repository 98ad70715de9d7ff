#include "generation/sampler.h"

#include "base/error.h"
#include "base/philox.h"
#include "generation/live_scores.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace m2::generation {
namespace {

// exp(score - max) in double: the sum over 200,000 tokens keeps its tail, and a cumulative sum
// resolves probabilities far below the float epsilon.
double weight_of(float score, float max) { return std::exp(static_cast<double>(score) - max); }

double sum_weights(std::span<const float> scores, float max) {
  double sum = 0.0;
  for_each_live(scores, [&](std::size_t /*id*/, float score) { sum += weight_of(score, max); });
  return sum;
}

// The first score at which the running sum of weights exceeds `target`. Rounding may put the target
// beyond the last weight; then it is the last score that has one.
std::size_t find_token(std::span<const float> scores, float max, double target) {
  std::size_t found = 0;
  double sum = 0.0;
  for_each_live(scores, [&](std::size_t id, float score) {
    const double weight = weight_of(score, max);
    if (weight == 0.0 || sum > target) return;
    found = id;
    sum += weight;
  });
  return found;
}

}  // namespace

double uniform(const DrawKey& key) {
  const auto low = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
  const auto high = [](std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32U); };
  const auto words = philox4x32({low(key.position), high(key.position), key.sequence,
                                 static_cast<std::uint32_t>(key.purpose)},
                                philox_key(key.seed));
  const std::uint64_t bits = std::uint64_t{words[0]} << 32U | words[1];
  return static_cast<double>(bits >> 11U) * 0x1p-53;
}

std::int32_t argmax(std::span<const float> scores) {
  M2_CHECK(!scores.empty(), "argmax of no scores");
  M2_REQUIRE(ErrorCode::kInternal, !has_nan(scores), "a score is NaN");
  const float max = max_score(scores);
  std::size_t best = scores.size();
  for_each_above(scores, std::nextafter(max, kRemoved),
                 [&](std::size_t id, float /*score*/) { best = std::min(best, id); });
  return best < scores.size() ? static_cast<std::int32_t>(best) : 0;  // all may be -inf
}

std::int32_t sample(std::span<const float> scores, const DrawKey& key) {
  const float max = scores[static_cast<std::size_t>(argmax(scores))];
  M2_REQUIRE(ErrorCode::kInvalidArgument, max > kRemoved,
             "no token is allowed: every score is -inf");
  M2_REQUIRE(ErrorCode::kInternal, std::isfinite(max), "a score is infinite");
  // Sums per block, so that only one block is walked again to find the token.
  constexpr std::size_t kBlocks = 256;
  const std::size_t block_size = (scores.size() + kBlocks - 1) / kBlocks;
  const auto block_at = [&](std::size_t begin) {
    return scores.subspan(begin, std::min(block_size, scores.size() - begin));
  };
  std::array<double, kBlocks> sums{};
  double total = 0.0;
  for (std::size_t begin = 0; begin < scores.size(); begin += block_size) {
    const double sum = sum_weights(block_at(begin), max);
    sums[begin / block_size] = sum;
    total += sum;
  }
  const double target = uniform(key) * total;
  std::size_t block = 0;
  double before = 0.0;  // the weight of all blocks before `block`
  double sum = 0.0;
  for (std::size_t next = 0; next < kBlocks && !(sum > target); ++next) {
    if (sums[next] == 0.0) continue;
    block = next;
    before = sum;
    sum += sums[next];
  }
  const std::size_t begin = block * block_size;
  return static_cast<std::int32_t>(begin + find_token(block_at(begin), max, target - before));
}

}  // namespace m2::generation
