#include "generation/logits_processors.h"

#include "base/error.h"
#include "generation/live_scores.h"
#include "generation/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

namespace m2::generation {
namespace {

struct Softmax {
  float max = kRemoved;
  double sum = 0.0;  // of exp(score - max)

  [[nodiscard]] float probability(float score) const {
    return static_cast<float>(std::exp(static_cast<double>(score) - max) / sum);
  }
  [[nodiscard]] double log_probability(float score) const {
    return static_cast<double>(score) - max - std::log(sum);
  }
};

// Nothing if the scores have no softmax.
std::optional<Softmax> softmax_of(std::span<const float> scores) {
  Softmax softmax{.max = max_score(scores)};
  if (!std::isfinite(softmax.max)) return std::nullopt;
  for_each_live(scores, [&](std::size_t /*id*/, float score) {
    softmax.sum += std::exp(static_cast<double>(score) - softmax.max);
  });
  return softmax;
}

double entropy_of(std::span<const float> scores, const Softmax& softmax) {
  double weighted = 0.0;
  for_each_live(scores, [&](std::size_t /*id*/, float score) {
    const double offset = static_cast<double>(score) - softmax.max;
    const double weight = std::exp(offset);
    if (weight > 0.0) weighted += weight * offset;
  });
  return std::log(softmax.sum) - weighted / softmax.sum;
}

// Written so that it compiles to vector code; NaN stays.
void remove_below(std::span<float> scores, float bound) {
  for (float& score : scores) score = score < bound ? kRemoved : score;
}

// Keeps what ranks at most as `last` does, removes the rest.
void keep_down_to(std::span<float> scores, RankedScore last) {
  const auto after_last = static_cast<std::size_t>(last.id) + 1;
  remove_below(scores.first(after_last), last.score);
  for (float& score : scores.subspan(after_last)) score = score <= last.score ? kRemoved : score;
}

// A score below the whole nucleus, so that only the few scores above it need an order: in a peaked
// distribution all but some hundred tokens lie more than kDepth below the best.
float nucleus_floor(std::span<const float> scores, const Softmax& softmax, double top_p,
                    std::int64_t min_keep) {
  constexpr float kDepth = 8.0F;
  constexpr double kMargin = 1e-5;  // of the mass, for the float rounding in apply_top_p
  const float floor = softmax.max - kDepth;
  double mass = 0.0;
  std::int64_t count = 0;
  for_each_above(scores, floor, [&](std::size_t /*id*/, float score) {
    mass += softmax.probability(score);
    ++count;
  });
  return mass > top_p + kMargin && count >= min_keep ? floor : kRemoved;
}

void remove_below_probability(std::span<float> scores, double threshold, std::int64_t min_keep,
                              const Softmax& softmax, LogitsScratch& scratch) {
  const float kept_anyway = kth_largest(scores, min_keep, scratch);
  const auto limit = static_cast<float>(threshold);
  for_each_live(scores, [&](std::size_t id, float score) {
    if (score < kept_anyway && softmax.probability(score) < limit) scores[id] = kRemoved;
  });
}

}  // namespace

void apply_temperature(std::span<float> scores, double temperature) {
  const auto divisor = static_cast<float>(temperature);
  for (float& score : scores) score /= divisor;
}

void apply_top_k(std::span<float> scores, std::int64_t k, LogitsScratch& scratch) {
  remove_below(scores, kth_largest(scores, k, scratch));
}

void apply_top_p(std::span<float> scores, double top_p, std::int64_t min_keep,
                 LogitsScratch& scratch) {
  const auto softmax = softmax_of(scores);
  if (!softmax) return;
  Ranking ranking =
      Ranking::by_score(scores, scratch, nucleus_floor(scores, *softmax, top_p, min_keep));
  const auto removed_mass = static_cast<float>(1.0 - top_p);
  double mass_before = 0.0;
  std::int64_t num_kept = 0;
  for (; num_kept < ranking.size(); ++num_kept) {
    // What this token and all worse ones weigh. The reference's running sum is a float too.
    const auto mass_from_here = static_cast<float>(1.0 - mass_before);
    if (num_kept >= min_keep && mass_from_here <= removed_mass) break;
    mass_before += softmax->probability(scores[static_cast<std::size_t>(ranking.id(num_kept))]);
  }
  const std::int32_t last = ranking.id(num_kept - 1);
  keep_down_to(scores, {.score = scores[static_cast<std::size_t>(last)], .id = last});
}

void apply_min_p(std::span<float> scores, double min_p, std::int64_t min_keep,
                 LogitsScratch& scratch) {
  const float max = max_score(scores);
  if (!std::isfinite(max) || min_p <= 0.0) return;
  // p < min_p * p_max is the same as score - max < log(min_p) and needs no sum.
  const double limit = max + std::log(min_p);
  if (min_keep == 1) {
    for (float& score : scores) score = score < limit ? kRemoved : score;
    return;
  }
  Ranking ranking = Ranking::by_score(scores, scratch);
  std::int64_t num_kept = 0;
  while (num_kept < ranking.size() &&
         (num_kept < min_keep || scores[static_cast<std::size_t>(ranking.id(num_kept))] >= limit)) {
    ++num_kept;
  }
  const std::int32_t last = ranking.id(num_kept - 1);
  keep_down_to(scores, {.score = scores[static_cast<std::size_t>(last)], .id = last});
}

void apply_top_h(std::span<float> scores, double top_h, LogitsScratch& scratch) {
  constexpr std::int64_t kCandidates = 100;
  Ranking ranking = Ranking::by_score(scores, scratch);
  const std::int64_t count = std::min(kCandidates, ranking.size());
  if (count == 0) return;
  const auto score_at = [&](std::int64_t rank) {
    return scores[static_cast<std::size_t>(ranking.id(rank))];
  };
  Softmax softmax{.max = score_at(0)};
  const bool has_softmax = std::isfinite(softmax.max);
  for (std::int64_t rank = 0; rank < count && has_softmax; ++rank) {
    softmax.sum += std::exp(static_cast<double>(score_at(rank)) - softmax.max);
  }
  // A probability that is zero as a float ends the prefix: 0 * log 0 is NaN in the reference.
  const auto entropy_term = [&](std::int64_t rank) {
    const double log_probability = softmax.log_probability(score_at(rank));
    return -std::exp(log_probability) * log_probability;
  };
  double entropy = 0.0;
  for (std::int64_t rank = 0; rank < count && has_softmax; ++rank) entropy += entropy_term(rank);
  std::int64_t num_kept = 1;
  double sum = has_softmax ? entropy_term(0) : 0.0;
  while (has_softmax && num_kept < count && softmax.probability(score_at(num_kept)) > 0.0F) {
    sum += entropy_term(num_kept);
    if (!(sum <= entropy * top_h)) break;
    ++num_kept;
  }
  keep_down_to(scores, {.score = score_at(num_kept - 1), .id = ranking.id(num_kept - 1)});
}

void apply_typical_p(std::span<float> scores, double typical_p, std::int64_t min_keep,
                     LogitsScratch& scratch) {
  const auto softmax = softmax_of(scores);
  if (!softmax) return;
  const double entropy = entropy_of(scores, *softmax);
  const auto distance = [&](float score) {
    return static_cast<float>(std::abs(-softmax->log_probability(score) - entropy));
  };
  Ranking ranking = Ranking::by_distance(scores, distance, scratch);
  const auto distance_at = [&](std::int64_t rank) {
    return distance(scores[static_cast<std::size_t>(ranking.id(rank))]);
  };
  // The first rank at which the mass reaches typical_p is kept, with all that are as close.
  const auto mass_limit = static_cast<float>(typical_p);
  double mass = 0.0;
  std::int64_t last = 0;
  for (; last < ranking.size(); ++last) {
    mass += softmax->probability(scores[static_cast<std::size_t>(ranking.id(last))]);
    if (!(static_cast<float>(mass) < mass_limit)) break;
  }
  if (last == ranking.size()) return;  // the mass never reaches it: all are kept
  const float limit = distance_at(last);
  scratch.clear_marks();
  for (std::int64_t rank = 0; rank < std::min(min_keep, ranking.size()); ++rank) {
    scratch.mark(static_cast<std::size_t>(ranking.id(rank)));
  }
  for_each_live(scores, [&](std::size_t id, float score) {
    if (distance(score) > limit && !scratch.is_marked(id)) scores[id] = kRemoved;
  });
}

void apply_epsilon_cutoff(std::span<float> scores, double epsilon, std::int64_t min_keep,
                          LogitsScratch& scratch) {
  if (const auto softmax = softmax_of(scores)) {
    remove_below_probability(scores, epsilon, min_keep, *softmax, scratch);
  }
}

void apply_eta_cutoff(std::span<float> scores, double epsilon, std::int64_t min_keep,
                      LogitsScratch& scratch) {
  const auto softmax = softmax_of(scores);
  if (!softmax) return;
  const double eta =
      std::min(epsilon, std::sqrt(epsilon) * std::exp(-entropy_of(scores, *softmax)));
  remove_below_probability(scores, eta, min_keep, *softmax, scratch);
}

void apply_guidance(std::span<const float> unconditional, double scale, std::span<float> scores,
                    LogitsScratch& scratch) {
  M2_CHECK(unconditional.size() == scores.size(), "guidance: unconditional [", unconditional.size(),
           "], expected [", scores.size(), "]");
  const std::span<float> base = scratch.values().first(scores.size());
  std::ranges::copy(unconditional, base.begin());
  log_softmax(base);
  log_softmax(scores);
  const auto factor = static_cast<float>(scale);
  for (std::size_t id = 0; id < scores.size(); ++id) {
    scores[id] = factor * (scores[id] - base[id]) + base[id];
  }
}

void remove_invalid_values(std::span<float> scores) {
  using Limits = std::numeric_limits<float>;
  for (float& score : scores) {
    if (std::isnan(score)) {
      score = 0.0F;
    } else {
      score = std::clamp(score, Limits::lowest(), Limits::max());
    }
  }
}

void log_softmax(std::span<float> scores) {
  const auto softmax = softmax_of(scores);
  for (float& score : scores) {
    score = softmax ? static_cast<float>(softmax->log_probability(score))
                    : std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace m2::generation
