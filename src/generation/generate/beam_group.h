// Beam search without a model: what happens to the beams of one prompt in a step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "generation/sampler.h"
#include "m2/generation_config.h"

namespace m2::generation {

/// A possible next token of a beam.
struct BeamCandidate {
  float score = 0.0F;     // of the beam and the token together
  std::int32_t beam = 0;  // which one it continues, 0 .. n - 1
  std::int32_t token = 0;
  bool ends = false;  // by a stopping criterion
};

/// The `count` best of `scores` [n, V], lower index first among equals; all of them, the removed
/// ones last, if there are no more.
std::vector<BeamCandidate> best_candidates(std::span<const float> scores, std::int64_t vocab_size,
                                           std::int64_t count);

/// `count` draws without replacement from softmax(scores), in the order of the draws. Overwrites
/// the scores. When all that have a probability are drawn, the others follow in their order.
std::vector<BeamCandidate> draw_candidates(std::span<float> scores, std::int64_t vocab_size,
                                           std::int64_t count, const DrawKey& key);

struct BeamOptions {
  std::int64_t num_beams = 1;      // n
  std::int64_t prompt_length = 0;  // P
  std::int64_t max_length = 0;
  double length_penalty = 1.0;
  EarlyStopping early_stopping = EarlyStopping::kNo;
};

/// A sequence of tokens and the beams that it went through.
struct Beam {
  std::vector<std::int32_t> ids;      // prompt and new tokens
  std::vector<std::int32_t> indices;  // the beam that each new token continued
  float score = 0.0F;
  bool is_finished = false;
};

/// The beams of one prompt: n running ones, and a pool of the n best that have ended. Scores and
/// penalties are float32, in the reference's order, so that ties come out alike.
class BeamGroup {
 public:
  BeamGroup(const std::vector<std::int32_t>& prompt, const BeamOptions& options);

  [[nodiscard]] const std::vector<Beam>& running() const { return running_; }
  /// Takes the candidates of a step, best (or first drawn) first: at least n of them.
  void step(std::span<const BeamCandidate> candidates);

  /// Whether a running beam may still beat the pool.
  [[nodiscard]] bool is_open() const { return is_open_; }
  /// Whether every slot of the pool is finished.
  [[nodiscard]] bool is_full() const;
  /// Whether all candidates of the last step ended.
  [[nodiscard]] bool is_exhausted() const { return is_exhausted_; }

  /// The pool, best first.
  [[nodiscard]] const std::vector<Beam>& pool() const { return pool_; }

 private:
  [[nodiscard]] Beam extend(const BeamCandidate& candidate, float score) const;
  [[nodiscard]] float length_norm(std::int64_t num_new) const;
  [[nodiscard]] float pool_score(const BeamCandidate& candidate, bool is_finishing) const;
  void update_pool(std::span<const BeamCandidate> candidates);
  void update_running(std::span<const BeamCandidate> candidates);
  void update_open();

  BeamOptions options_;
  std::vector<Beam> running_;  // [n]
  std::vector<Beam> pool_;     // [n]
  std::int64_t num_new_ = 0;   // tokens after the prompt
  bool is_open_ = true;
  bool is_exhausted_ = false;
};

/// Whether the search goes on: some group is open, not all pools are full where that is enough, and
/// not every candidate of every group has ended.
bool goes_on(std::span<const BeamGroup> groups, EarlyStopping early_stopping);

}  // namespace m2::generation
