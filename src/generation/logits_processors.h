// The sampling filters: each works on the scores that the one before it left and removes tokens by
// setting their score to -inf.
//
// Probabilities are those of the softmax over the scores given, summed in double: over 200,000
// tokens a float sum would lose the tail. Tokens that are already -inf cost one comparison. Where
// the reference leaves ties open the lower id is kept first. If a score is +inf, or all are -inf,
// there is no softmax and the filters that need one change nothing.
#pragma once

#include "generation/logits_scratch.h"

#include <cstdint>
#include <span>

namespace m2::generation {

/// scores / temperature. temperature > 0.
void apply_temperature(std::span<float> scores, double temperature);

/// Keeps the k best; tokens that tie with the k-th are kept too. 1 <= k.
void apply_top_k(std::span<float> scores, std::int64_t k, LogitsScratch& scratch);

/// Keeps the fewest best tokens that hold more than the mass `top_p`, at least `min_keep`:
/// a token goes if it and all worse ones together weigh at most 1 - top_p.
void apply_top_p(std::span<float> scores, double top_p, std::int64_t min_keep,
                 LogitsScratch& scratch);

/// Removes tokens less probable than min_p times the best one, except the best `min_keep`.
void apply_min_p(std::span<float> scores, double min_p, std::int64_t min_keep,
                 LogitsScratch& scratch);

/// Entropy-bounded ("top-H") filter: among the 100 best, keeps the longest prefix whose entropy
/// terms sum to at most top_h times the whole entropy; the best token always stays.
void apply_top_h(std::span<float> scores, double top_h, LogitsScratch& scratch);

/// Locally typical sampling (Meister et al., 2022): keeps the tokens whose information is closest
/// to the entropy until they hold the mass `typical_p`.
void apply_typical_p(std::span<float> scores, double typical_p, std::int64_t min_keep,
                     LogitsScratch& scratch);

/// Removes tokens with a probability below `epsilon`, except those that tie with the best
/// `min_keep` (Hewitt et al., 2022).
void apply_epsilon_cutoff(std::span<float> scores, double epsilon, std::int64_t min_keep,
                          LogitsScratch& scratch);

/// As apply_epsilon_cutoff with the threshold min(epsilon, sqrt(epsilon) * exp(-entropy)).
void apply_eta_cutoff(std::span<float> scores, double epsilon, std::int64_t min_keep,
                      LogitsScratch& scratch);

/// Classifier-free guidance (Sanchez et al., 2023): u + scale * (c - u), where c and u are the
/// log-softmax of `scores` and of `unconditional`, both [V].
void apply_guidance(std::span<const float> unconditional, double scale, std::span<float> scores,
                    LogitsScratch& scratch);

/// NaN -> 0, +inf -> the largest float, -inf -> the lowest.
void remove_invalid_values(std::span<float> scores);

/// scores - log(sum(exp(scores))).
void log_softmax(std::span<float> scores);

}  // namespace m2::generation
