#include "generation/generate/beam_group.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "generation/live_scores.h"

namespace m2::generation {
namespace {

// Stands for -infinity in sums, as in the reference; float32 swallows what is added to it.
constexpr float kNever = -1.0e9F;

BeamCandidate candidate_of(std::size_t index, float score, std::int64_t vocab_size) {
  const auto position = static_cast<std::int64_t>(index);
  return {.score = score,
          .beam = static_cast<std::int32_t>(position / vocab_size),
          .token = static_cast<std::int32_t>(position % vocab_size)};
}

// Indices of `scores`, best first, the lower index first among equals.
std::vector<std::size_t> order_by_score(const std::vector<float>& scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  return order;
}

}  // namespace

std::vector<BeamCandidate> best_candidates(std::span<const float> scores, std::int64_t vocab_size,
                                           std::int64_t count) {
  const std::size_t wanted = std::min(static_cast<std::size_t>(count), scores.size());
  std::vector<std::pair<float, std::size_t>> best;  // best first
  float bound = kRemoved;
  for_each_above(scores, bound, [&](std::size_t index, float score) {
    const auto place = std::ranges::upper_bound(best, score, std::greater<>(),
                                                &std::pair<float, std::size_t>::first);
    best.insert(place, {score, index});
    if (best.size() > wanted) best.pop_back();
    if (best.size() == wanted) bound = best.back().first;
  });
  for (std::size_t index = 0; best.size() < wanted; ++index) {
    if (!(scores[index] > kRemoved)) best.emplace_back(kRemoved, index);
  }
  std::vector<BeamCandidate> candidates;
  for (const auto& [score, index] : best) {
    candidates.push_back(candidate_of(index, score, vocab_size));
  }
  return candidates;
}

std::vector<BeamCandidate> draw_candidates(std::span<float> scores, std::int64_t vocab_size,
                                           std::int64_t count, const DrawKey& key) {
  const std::size_t wanted = std::min(static_cast<std::size_t>(count), scores.size());
  std::vector<BeamCandidate> drawn;
  std::vector<std::size_t> taken;
  for (DrawKey draw = key; drawn.size() < wanted && max_score(scores) > kRemoved;) {
    const auto index = static_cast<std::size_t>(sample(scores, draw));
    drawn.push_back(candidate_of(index, scores[index], vocab_size));
    taken.push_back(index);
    scores[index] = kRemoved;
    draw.purpose = static_cast<DrawPurpose>(static_cast<std::uint32_t>(draw.purpose) + 1);
  }
  M2_REQUIRE(ErrorCode::kInvalidArgument, !drawn.empty(),
             "no token is allowed: every score is -inf");
  for (std::size_t index = 0; drawn.size() < wanted; ++index) {
    if (std::ranges::count(taken, index) > 0) continue;
    drawn.push_back(candidate_of(index, kRemoved, vocab_size));
  }
  return drawn;
}

BeamGroup::BeamGroup(const std::vector<std::int32_t>& prompt, const BeamOptions& options)
    : options_(options),
      running_(static_cast<std::size_t>(options.num_beams), Beam{.ids = prompt, .score = kNever}),
      pool_(running_) {
  running_[0].score = 0.0F;  // the beams are still alike: one of them counts
}

void BeamGroup::step(std::span<const BeamCandidate> candidates) {
  M2_CHECK(candidates.size() >= running_.size(), candidates.size(), " candidates for ",
           running_.size(), " beams");
  ++num_new_;
  is_exhausted_ = std::ranges::all_of(candidates, &BeamCandidate::ends);
  update_pool(candidates);
  update_running(candidates);
  update_open();
}

bool BeamGroup::is_full() const { return std::ranges::all_of(pool_, &Beam::is_finished); }

Beam BeamGroup::extend(const BeamCandidate& candidate, float score) const {
  Beam beam = running_[static_cast<std::size_t>(candidate.beam)];
  beam.ids.push_back(candidate.token);
  beam.indices.push_back(candidate.beam);
  beam.score = score;
  return beam;
}

float BeamGroup::length_norm(std::int64_t num_new) const {
  return static_cast<float>(std::pow(static_cast<double>(num_new), options_.length_penalty));
}

float BeamGroup::pool_score(const BeamCandidate& candidate, bool is_finishing) const {
  float score = candidate.score / length_norm(num_new_);
  if (options_.early_stopping == EarlyStopping::kYes && is_full()) score += kNever;
  if (!is_open_) score += kNever;
  if (!is_finishing) score += kNever;
  return score;
}

// Only the n best candidates may enter; those behind them keep the search alive.
void BeamGroup::update_pool(std::span<const BeamCandidate> candidates) {
  const std::size_t n = pool_.size();
  std::vector<float> scores;
  for (const Beam& beam : pool_) scores.push_back(beam.score);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    scores.push_back(pool_score(candidates[i], i < n && candidates[i].ends));
  }
  const auto order = order_by_score(scores);
  std::vector<Beam> merged;
  for (std::size_t slot = 0; slot < n; ++slot) {
    const std::size_t index = order[slot];
    if (index < n) {
      merged.push_back(std::move(pool_[index]));
    } else {
      const BeamCandidate& candidate = candidates[index - n];
      merged.push_back(extend(candidate, scores[index]));
      merged.back().is_finished = index - n < n && candidate.ends;
    }
  }
  pool_ = std::move(merged);
}

void BeamGroup::update_running(std::span<const BeamCandidate> candidates) {
  std::vector<float> scores;
  for (const BeamCandidate& candidate : candidates) {
    scores.push_back(candidate.score + (candidate.ends ? kNever : 0.0F));
  }
  const auto order = order_by_score(scores);
  std::vector<Beam> next;
  for (std::size_t slot = 0; slot < running_.size(); ++slot) {
    next.push_back(extend(candidates[order[slot]], scores[order[slot]]));
  }
  running_ = std::move(next);
}

void BeamGroup::update_open() {
  const bool looks_ahead =
      options_.early_stopping == EarlyStopping::kNever && options_.length_penalty > 0.0;
  const std::int64_t length = looks_ahead ? options_.max_length - options_.prompt_length : num_new_;
  const float best_running = running_[0].score / length_norm(length);
  const float worst = std::ranges::min_element(pool_, {}, &Beam::score)->score;
  const bool can_improve = std::ranges::any_of(
      pool_, [&](const Beam& beam) { return best_running > (beam.is_finished ? worst : kNever); });
  is_open_ = is_open_ && can_improve;
}

bool goes_on(std::span<const BeamGroup> groups, EarlyStopping early_stopping) {
  const bool any_open = std::ranges::any_of(groups, &BeamGroup::is_open);
  const bool is_enough =
      early_stopping == EarlyStopping::kYes && std::ranges::all_of(groups, &BeamGroup::is_full);
  return any_open && !is_enough && !std::ranges::all_of(groups, &BeamGroup::is_exhausted);
}

}  // namespace m2::generation
