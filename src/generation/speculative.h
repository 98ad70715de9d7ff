// Which drafted tokens are kept (speculative sampling, Leviathan et al., 2023, algorithm 1).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "generation/sampler.h"

namespace m2::generation {

/// The key of a draw for the drafted token `index`.
using DraftKey = std::function<DrawKey(std::size_t index, DrawPurpose purpose)>;

struct Verdict {
  std::vector<std::int32_t> tokens;  // what the text goes on with
  std::int64_t num_matches = 0;      // drafted tokens among them
};

/// Keeps drafted tokens as long as they are what the model would have chosen, and one token more of
/// the model's, unless the whole draft is kept and ends the text. `chosen`: [d + 1].
Verdict verify_choices(std::span<const std::int32_t> draft, std::span<const std::int32_t> chosen,
                       bool draft_ends_text);

/// The same for draws: token i is kept with probability min(1, p_i / q_i); in place of the first
/// that is not, one is drawn from max(p - q, 0), so that the text follows p. `target`: scores
/// [d + 1, V] of the model, `proposal`: scores [d, V] that the draft was drawn from.
Verdict verify_draws(std::span<const std::int32_t> draft, std::span<const float> target,
                     std::span<const float> proposal, bool draft_ends_text, const DraftKey& key);

/// The probability of `token` in softmax(scores).
double probability(std::span<const float> scores, std::int32_t token);

}  // namespace m2::generation
