// A checkpoint as generate() sees it.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>

#include "backends/backends.h"
#include "checkpoint/checkpoint.h"
#include "generation/generate/generate.h"
#include "model/causal_lm.h"

namespace m2::test {

/// With the eager attention, which has probabilities to record. Stays where it is made.
class GeneratingCheckpoint {
 public:
  explicit GeneratingCheckpoint(const std::filesystem::path& directory)
      : directory_(directory),
        generation_config_(GenerationConfig::from_pretrained(directory)),
        backend_(make_backend("cpu", 1)),
        causal_lm_(load(directory, *backend_)),
        model_(generation::generating_model(causal_lm_, generation_config_)) {}
  GeneratingCheckpoint(const GeneratingCheckpoint&) = delete;
  GeneratingCheckpoint& operator=(const GeneratingCheckpoint&) = delete;

  [[nodiscard]] const generation::GeneratingModel& model() const { return model_; }
  [[nodiscard]] GenerationConfig& generation_config() { return generation_config_; }
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

  /// The embeddings [B, P, H] of ids [B, P] i64.
  [[nodiscard]] Tensor embed(const Tensor& ids) {
    const auto outputs = causal_lm_.forward_model(
        {.input_ids = ids.view(), .use_cache = false, .output_hidden_states = true});
    return Tensor::copy_of(outputs.hidden_states[0].view());
  }

 private:
  static CausalLm load(const std::filesystem::path& directory, Backend& backend) {
    const auto config = MiniMaxM2Config::from_pretrained(directory);
    auto weights =
        std::make_shared<const ModelWeights>(load_weights(config, Checkpoint::open(directory)));
    return CausalLm(config, std::move(weights), Placement::on(backend, config.num_hidden_layers),
                    "eager");
  }

  std::filesystem::path directory_;
  GenerationConfig generation_config_;
  std::unique_ptr<Backend> backend_;
  CausalLm causal_lm_;
  generation::GeneratingModel model_;
};

}  // namespace m2::test
