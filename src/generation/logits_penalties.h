// Processors that look at the token ids so far: biases, penalties, bans and forced tokens.
//
// `ids` is [cur], prompt and generated tokens; `scores` is [V]. Ids outside [0, V) have no score
// and are passed over. A ban sets the score to -inf.
#pragma once

#include "generation/logits_scratch.h"
#include "m2/generation_config.h"

#include <cstdint>
#include <span>
#include <vector>

namespace m2::generation {

/// Token biases that depend on what the text ends with, grouped by the token they act on.
class SequenceBiasTable {
 public:
  /// A sequence that comes twice has the bias of its last entry, as in a dictionary.
  explicit SequenceBiasTable(std::span<const SequenceBias> biases);

  void apply(std::span<const std::int32_t> ids, std::span<float> scores) const;

 private:
  struct Target {
    std::int32_t token = 0;
    float always = 0.0F;
    std::vector<SequenceBias> after;  // ids: the text before the token
  };
  std::vector<Target> targets_;
};

/// Bans `banned` ids.
void ban_tokens(std::span<const std::int32_t> banned, std::span<float> scores);

/// Bans everything but `allowed`, whose scores stay.
void allow_only(std::span<const std::int32_t> allowed, std::span<float> scores,
                LogitsScratch& scratch);

/// Bans everything but `forced`, whose score becomes 0.
void force_tokens(std::span<const std::int32_t> forced, std::span<float> scores);

/// Each distinct id once: score < 0 ? score * penalty : score / penalty.
void apply_repetition_penalty(std::span<const std::int32_t> ids, std::span<float> scores,
                              double penalty, LogitsScratch& scratch);

/// Takes `frequency` off for every occurrence and `presence` once for every distinct id.
void apply_count_penalties(std::span<const std::int32_t> generated, std::span<float> scores,
                           double frequency, double presence, LogitsScratch& scratch);

/// Bans the tokens that would complete an n-gram that `source` holds: `ids` itself, or the prompt.
void ban_repeated_ngrams(std::span<const std::int32_t> source, std::span<const std::int32_t> ids,
                         std::int64_t ngram_size, std::span<float> scores);

/// Raises `eos` ids by abs(score) * (factor^num_past - 1); banned ones stay banned.
/// Throws kInvalidArgument once the power is no finite number.
void apply_exponential_decay(std::span<const std::int32_t> eos, double factor,
                             std::int64_t num_past, std::span<float> scores,
                             LogitsScratch& scratch);

}  // namespace m2::generation
