// The model's configuration in the metadata of GGUF files.
#pragma once

#include <string>

#include "gguf/gguf.h"
#include "gguf/writer.h"
#include "m2/config.h"

namespace m2 {

/// The text of a config.json that says the same as the metadata. Throws kCorruptFile for absent
/// keys and kUnsupported for settings that MiniMax-M2 does not have.
std::string gguf_config_json(const GgufModel& model);

/// Sets general.architecture, the keys of the model and the ids of special tokens. Throws
/// kUnsupported for rope types that llama.cpp does not know for this architecture.
void write_gguf_config(const MiniMaxM2Config& config, GgufWriter& writer);

}  // namespace m2
