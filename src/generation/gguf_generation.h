// Generation options in the metadata of GGUF files.
#pragma once

#include "gguf/metadata.h"
#include "gguf/writer.h"
#include "m2/generation_config.h"

namespace m2::generation {

/// The special tokens, and sampling where the file recommends numbers for it.
GenerationConfig read_gguf_generation(const GgufMetadata& metadata);

/// Sets the recommended numbers (general.sampling.*) of a config that samples. Special tokens are
/// set with the model's config.
void write_gguf_generation(const GenerationConfig& config, GgufWriter& writer);

}  // namespace m2::generation
