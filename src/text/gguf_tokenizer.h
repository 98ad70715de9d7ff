// The tokenizer in the metadata of GGUF files, as llama.cpp's converter writes that of MiniMax-M2.
#pragma once

#include <cstdint>
#include <filesystem>

#include "gguf/metadata.h"
#include "gguf/writer.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"

namespace m2 {

struct TokenizerFiles {
  TokenizerSpec spec;
  TokenizerConfig config;
};

/// What Tokenizer::from_pretrained reads: tokenizer.json and tokenizer_config.json, or a GGUF file.
[[nodiscard]] TokenizerFiles read_tokenizer_files(const std::filesystem::path& path);

/// Throws kNotFound when the file has no tokenizer, kUnsupported for other kinds than MiniMax-M2's
/// (`tokenizer.ggml.pre` names the split pattern; normalisation to NFC goes with it), kCorruptFile
/// for lists that do not fit each other.
[[nodiscard]] TokenizerFiles read_gguf_tokenizer(const GgufMetadata& metadata);

/// Sets `tokenizer.ggml.*` but the ids of bos, eos and padding. Rows of the model without a token
/// get a placeholder that no text gives. Throws kUnsupported for a tokenizer that is no MiniMax-M2
/// one, kInvalidArgument when it has ids beyond `vocab_size`.
void write_gguf_tokenizer(const TokenizerFiles& tokenizer, std::int64_t vocab_size,
                          GgufWriter& writer);

}  // namespace m2
