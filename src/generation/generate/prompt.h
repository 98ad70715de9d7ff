// The arguments of generate() as rows of tokens and what belongs to them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "generation/generate/model_run.h"
#include "m2/generation.h"

namespace m2::generation {

/// input_ids, or one row of bos_token_id without any input; rows without tokens when there are
/// embeddings alone. B of [P]. Throws kInvalidArgument for inputs that do not fit each other.
std::vector<Ids> read_prompts(const GenerateInputs& inputs, const GenerationConfig& config);

/// Mask, positions and embeddings of `prompts`. `config` is resolved. Without attention_mask,
/// padding is what equals a pad_token_id that does not end sequences; where it does, a warning says
/// that padding cannot be told from text.
PromptColumns read_columns(const GenerateInputs& inputs, const std::vector<Ids>& prompts,
                           const GenerationConfig& config, bool strict,
                           std::vector<std::string>& warnings);

/// [B, P] as rows. `name` is the argument in messages.
std::vector<Ids> read_id_rows(const char* name, const TensorView& view);
/// [B, P], any integer type, bool or f32, as rows of 0 and 1; empty when nothing is masked.
std::vector<std::vector<std::uint8_t>> read_mask_rows(const char* name, const TensorView& view);

}  // namespace m2::generation
