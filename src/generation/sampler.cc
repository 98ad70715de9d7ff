#include "generation/sampler.h"

#include "base/error.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace m2::generation {
namespace {

constexpr float kRemoved = -std::numeric_limits<float>::infinity();

// exp(score - max) in double: the sum over 200,000 tokens keeps its tail, and a cumulative sum
// resolves probabilities far below the float epsilon.
double weight_of(float score, float max) {
  return score > kRemoved ? std::exp(static_cast<double>(score) - max) : 0.0;
}

// The first token at which the running sum of weights exceeds `target`. Rounding may put the target
// beyond the last weight; then it is the last token that has one.
std::size_t find_token(std::span<const float> scores, std::size_t begin, std::size_t end, float max,
                       double target) {
  std::size_t last = begin;
  double sum = 0.0;
  for (std::size_t id = begin; id < end; ++id) {
    const double weight = weight_of(scores[id], max);
    if (weight == 0.0) continue;
    last = id;
    sum += weight;
    if (sum > target) break;
  }
  return last;
}

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53U;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57U;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;  // golden ratio
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;  // sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32U) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32U) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

double uniform(const DrawKey& key) {
  const auto low = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
  const auto high = [](std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32U); };
  const auto words = philox4x32({low(key.position), high(key.position), key.sequence,
                                 static_cast<std::uint32_t>(key.purpose)},
                                {low(key.seed), high(key.seed)});
  const std::uint64_t bits = std::uint64_t{words[0]} << 32U | words[1];
  return static_cast<double>(bits >> 11U) * 0x1p-53;
}

std::int32_t argmax(std::span<const float> scores) {
  M2_CHECK(!scores.empty(), "argmax of no scores");
  std::size_t best = 0;
  float max = kRemoved;
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (scores[id] <= max) continue;
    M2_REQUIRE(ErrorCode::kInternal, !std::isnan(scores[id]), "the score of token ", id, " is NaN");
    best = id;
    max = scores[id];
  }
  return static_cast<std::int32_t>(best);
}

std::int32_t sample(std::span<const float> scores, const DrawKey& key) {
  const float max = scores[static_cast<std::size_t>(argmax(scores))];
  M2_REQUIRE(ErrorCode::kInvalidArgument, max > kRemoved,
             "no token is allowed: every score is -inf");
  M2_REQUIRE(ErrorCode::kInternal, std::isfinite(max), "a score is infinite");
  // Sums per block, so that only one block is walked again to find the token.
  constexpr std::size_t kBlocks = 256;
  const std::size_t block_size = (scores.size() + kBlocks - 1) / kBlocks;
  std::array<double, kBlocks> sums{};
  double total = 0.0;
  for (std::size_t begin = 0; begin < scores.size(); begin += block_size) {
    double sum = 0.0;
    for (const float score : scores.subspan(begin, std::min(block_size, scores.size() - begin))) {
      sum += weight_of(score, max);
    }
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
  const std::size_t end = std::min(begin + block_size, scores.size());
  return static_cast<std::int32_t>(find_token(scores, begin, end, max, target - before));
}

}  // namespace m2::generation
