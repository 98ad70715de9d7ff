// Everything that a model directory holds, ready to run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "m2/config.h"
#include "m2/generation.h"
#include "m2/generation_config.h"
#include "m2/tokenizer.h"
#include "model/causal_lm.h"
#include "model/weights.h"

namespace m2 {

struct LoadOptions {
  std::string device = "cpu";
  int num_threads = 0;    // 0: M2_NUM_THREADS, else every available core
  LoadProgress progress;  // may be empty
};

/// Config, weights (mapped), backend and model, and the tokenizer where the directory has one.
class LoadedModel {
 public:
  /// Throws what the parts throw: kNotFound, kCorruptFile, kUnsupported, ...
  LoadedModel(const std::filesystem::path& directory, const LoadOptions& options);

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  [[nodiscard]] const MiniMaxM2Config& config() const { return config_; }
  [[nodiscard]] const GenerationConfig& generation_config() const { return generation_config_; }
  [[nodiscard]] const LoadReport& report() const { return report_; }
  /// What is odd about the files, one sentence each.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  [[nodiscard]] CausalLm& causal_lm() { return *causal_lm_; }
  [[nodiscard]] MiniMaxM2& model() { return causal_lm_->decoder(); }
  [[nodiscard]] bool has_tokenizer() const { return tokenizer_.has_value(); }
  /// Throws kNotFound when the directory has no tokenizer.json.
  [[nodiscard]] const Tokenizer& tokenizer() const;

  /// One more than the largest token id that may be chosen.
  [[nodiscard]] std::int64_t num_valid_tokens() const;

  /// generate() with the tokenizer, if there is one. Throws what it throws, kCancelled when `stop`
  /// asks for the end.
  GenerateOutput generate(const GenerateInputs& inputs, const GenerationConfig& call,
                          const std::stop_token& stop = {});

  /// Tokens of context that a conversation gets when nobody says: as many as the model was made
  /// for, but no more than half of the free memory holds.
  [[nodiscard]] std::int64_t default_context() const;

 private:
  std::filesystem::path directory_;
  std::vector<std::string> warnings_;
  MiniMaxM2Config config_;
  GenerationConfig generation_config_;
  std::optional<Tokenizer> tokenizer_;
  LoadReport report_;
  std::unique_ptr<CausalLm> causal_lm_;
};

}  // namespace m2
