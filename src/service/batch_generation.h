// generate() of the library: padded rows of token ids in, padded rows out.
#pragma once

#include <cstdint>
#include <stop_token>
#include <vector>

#include "m2/generation_config.h"
#include "service/batch_inputs.h"
#include "service/loaded_model.h"

namespace m2 {

struct BatchGeneration {
  /// Prompt and new tokens of every row (num_return_sequences rows for each prompt), filled on the
  /// right with the padding token.
  std::vector<std::vector<std::int32_t>> sequences;
  std::vector<std::string> warnings;
};

/// Rows continue as if each were alone. Without attention_mask, padding is recognised as the
/// reference does: where the padding token is known, occurs and is no end-of-sequence token.
/// Labels are not used. Throws kCancelled when `stop` asked to.
BatchGeneration generate_batch(LoadedModel& loaded, const BatchInputs& inputs,
                               const GenerationConfig& call, const std::stop_token& stop = {});

}  // namespace m2
