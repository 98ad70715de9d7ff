// Which way of generating a configuration asks for.
#pragma once

#include "m2/generation_config.h"

namespace m2::generation {

enum class Mode {
  kGreedy,
  kSample,
  kBeamSearch,
  kBeamSample,
  kAssistedGreedy,  ///< greedy, with drafts of an assistant or of prompt lookup
  kAssistedSample,
};

/// The reference's choice; assistance is for one beam only. Contrastive, group, constrained and
/// DoLa decoding cannot be asked for (neutral_fields.h).
[[nodiscard]] Mode choose_mode(const GenerationConfig& config, bool has_assistant);

[[nodiscard]] bool is_beam_mode(Mode mode);
[[nodiscard]] bool is_assisted_mode(Mode mode);

/// Throws kUnsupported, naming the option, for a configuration that needs generate(): the engine
/// continues one sequence a request, in a cache of its own.
void require_single_sequence(const GenerationConfig& config);

}  // namespace m2::generation
