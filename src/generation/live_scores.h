// Passes over the scores that are still in play. After a filter most of 200,000 scores are -inf, so
// the passes look at blocks, whose comparisons compile to vector code, and skip dead ones.
#pragma once

#include <cstddef>
#include <limits>
#include <span>

namespace m2::generation {

inline constexpr float kRemoved = -std::numeric_limits<float>::infinity();
inline constexpr std::size_t kScoreBlock = 16;

/// The largest score that is no NaN; -inf if there is none.
inline float max_score(std::span<const float> scores) {
  float lanes[kScoreBlock];
  for (float& lane : lanes) lane = kRemoved;
  std::size_t id = 0;
  for (; id + kScoreBlock <= scores.size(); id += kScoreBlock) {
    for (std::size_t i = 0; i < kScoreBlock; ++i) {
      lanes[i] = scores[id + i] > lanes[i] ? scores[id + i] : lanes[i];
    }
  }
  float max = kRemoved;
  for (const float lane : lanes) max = lane > max ? lane : max;
  for (; id < scores.size(); ++id) max = scores[id] > max ? scores[id] : max;
  return max;
}

inline bool has_nan(std::span<const float> scores) {
  int found = 0;
  std::size_t id = 0;
  for (; id + kScoreBlock <= scores.size(); id += kScoreBlock) {
    const float* block = scores.data() + id;
    for (std::size_t i = 0; i < kScoreBlock; ++i) found |= static_cast<int>(block[i] != block[i]);
  }
  for (; id < scores.size(); ++id) found |= static_cast<int>(scores[id] != scores[id]);
  return found != 0;
}

/// Calls visit(id, score) in the order of ids for every score above `bound`; visit may raise it.
template <typename Visitor>
void for_each_above(std::span<const float> scores, const float& bound, Visitor&& visit) {
  std::size_t id = 0;
  for (; id + kScoreBlock <= scores.size(); id += kScoreBlock) {
    const float* block = scores.data() + id;
    const float limit = bound;
    int is_any = 0;
    for (std::size_t i = 0; i < kScoreBlock; ++i) is_any |= static_cast<int>(block[i] > limit);
    if (is_any == 0) continue;
    for (std::size_t i = 0; i < kScoreBlock; ++i) {
      if (block[i] > bound) visit(id + i, block[i]);
    }
  }
  for (; id < scores.size(); ++id) {
    if (scores[id] > bound) visit(id, scores[id]);
  }
}

/// Calls visit(id, score) for every score above -inf.
template <typename Visitor>
void for_each_live(std::span<const float> scores, Visitor&& visit) {
  for_each_above(scores, kRemoved, visit);
}

}  // namespace m2::generation
