// Outputs of a forward pass as a safetensors file.
#pragma once

#include <filesystem>

#include "m2/modeling.h"

namespace m2 {

/// Writes `logits` [B, S, V] and what else there is, all float32: `hidden_states.N` [B, S, H],
/// `router_logits.N` [B * S, E], `attentions.N` [B, Nq, S, K], and `loss` and `aux_loss` as
/// scalars. Throws kInvalidArgument when the file cannot be written.
void save_outputs(const MoeCausalLMOutputWithPast& outputs, const std::filesystem::path& path);

}  // namespace m2
