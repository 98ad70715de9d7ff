// Everything that a model directory or GGUF file holds, ready to run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "m2/config.h"
#include "m2/generation.h"
#include "m2/generation_config.h"
#include "m2/modeling.h"
#include "m2/tokenizer.h"
#include "model/causal_lm.h"
#include "ops/kv_cache_view.h"

namespace m2 {

/// The causal LM, and the tokenizer where the model comes with one.
class LoadedModel {
 public:
  /// `name`: a directory, a GGUF file or a hub id. Throws what the parts throw: kNotFound,
  /// kCorruptFile, kUnsupported, ...
  LoadedModel(const std::string& name, const FromPretrainedOptions& options);

  /// The model's directory or GGUF file.
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const MiniMaxM2Config& config() const { return model_.config(); }
  [[nodiscard]] const GenerationConfig& generation_config() const {
    return model_.generation_config();
  }
  /// What is odd about the files and where the modules went.
  [[nodiscard]] const LoadingInfo& info() const { return info_; }
  [[nodiscard]] CausalLm& causal_lm();
  [[nodiscard]] MiniMaxM2& model() { return causal_lm().decoder(); }
  [[nodiscard]] bool has_tokenizer() const { return tokenizer_.has_value(); }
  /// Throws kNotFound when the model comes without one.
  [[nodiscard]] const Tokenizer& tokenizer() const;

  /// One more than the largest token id that may be chosen.
  [[nodiscard]] std::int64_t num_valid_tokens() const;

  /// generate() with the tokenizer, if there is one. Throws what it throws, kCancelled when `stop`
  /// asks for the end.
  GenerateOutput generate(const GenerateInputs& inputs, const GenerationConfig& call,
                          const std::stop_token& stop = {});

  /// Tokens of context that a conversation gets when nobody says: as many as the model was made
  /// for, but no more than half of the free memory holds.
  [[nodiscard]] std::int64_t default_context(KvFormat kv_format) const;

 private:
  std::filesystem::path path_;
  LoadingInfo info_;
  MiniMaxM2ForCausalLM model_;
  std::optional<Tokenizer> tokenizer_;
};

}  // namespace m2
