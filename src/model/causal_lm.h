// The library form of the forward pass: padded rows in, logits and losses out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "model/minimax_m2.h"

namespace m2 {

/// A padded batch of B rows of S tokens. Empty vectors are absent arguments.
struct CausalLmInputs {
  std::int64_t batch_size = 0;               // B
  std::int64_t sequence_length = 0;          // S
  std::vector<std::int32_t> input_ids;       // [B * S]
  std::vector<std::uint8_t> attention_mask;  // [B * S], 1 = real token
  std::vector<std::int64_t> position_ids;    // [B * S]; absent: 0 .. S - 1, padding counted too
  std::vector<std::int64_t> labels;          // [B * S], kIgnoreIndex where there is none
};

struct CausalLmOutputs {
  Tensor logits;                  // [B, S, V] f32
  StudyOutputs study;             // what was asked for; attentions are [B, Nq, S, S]
  std::optional<float> loss;      // with labels
  std::optional<float> aux_loss;  // with router logits
};

/// MiniMaxM2ForCausalLM.forward without a cache. Attentions are what the reference's "eager"
/// implementation returns, where a query that sees no key averages all of them; without attentions
/// such a query gives zeros, as "sdpa" does. These rows are padding and influence no other.
/// With labels and router logits the loss includes router_aux_loss_coef * aux_loss.
/// Throws kInvalidArgument when an array does not have B * S elements.
CausalLmOutputs causal_lm_forward(MiniMaxM2& model, const CausalLmInputs& inputs,
                                  const Study& study);

}  // namespace m2
