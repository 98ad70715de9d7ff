// A model whose next token depends on the last two: small enough to enumerate what it may say.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "generation/generate/model_run.h"

namespace m2::test {

/// Takes whole rows of ids (use_cache false); masks and positions mean nothing to it.
class TableModel {
 public:
  TableModel(std::int64_t vocab_size, unsigned seed, float spread = 1.0F)
      : vocab_size_(vocab_size),
        table_(static_cast<std::size_t>(vocab_size * vocab_size * vocab_size)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, spread);
    for (float& logit : table_) logit = normal(random);
    config_.use_cache = false;
    config_.pad_token_id = 0;
    model_ = {.forward = [this](const ForwardInputs& inputs) { return forward(inputs); },
              .generation_config = &config_,
              .vocab_size = vocab_size,
              .max_position_embeddings = 1000};
  }
  TableModel(const TableModel&) = delete;
  TableModel& operator=(const TableModel&) = delete;

  [[nodiscard]] const generation::GeneratingModel& model() const { return model_; }
  [[nodiscard]] GenerationConfig& config() { return config_; }

  /// Logits [V] of what follows `ids`.
  [[nodiscard]] std::span<const float> logits(std::span<const std::int32_t> ids) const {
    const std::int64_t before = ids.size() > 1 ? ids[ids.size() - 2] : 0;
    const auto row = static_cast<std::size_t>(before * vocab_size_ + ids.back());
    const auto width = static_cast<std::size_t>(vocab_size_);
    return std::span(table_).subspan(row * width, width);
  }

  [[nodiscard]] double log_probability(std::span<const std::int32_t> ids, std::int32_t next) const {
    double sum = 0;
    for (const float logit : logits(ids)) sum += std::exp(static_cast<double>(logit));
    return logits(ids)[static_cast<std::size_t>(next)] - std::log(sum);
  }

 private:
  [[nodiscard]] MoeCausalLMOutputWithPast forward(const ForwardInputs& inputs) const {
    const std::int64_t rows = inputs.input_ids.shape[0];
    const std::int64_t columns = inputs.input_ids.shape[1];
    const auto kept = std::get<std::int64_t>(inputs.logits_to_keep);
    MoeCausalLMOutputWithPast outputs;
    outputs.logits = Tensor(DType::kF32, {rows, kept, vocab_size_});
    float* next = outputs.logits.as<float>();
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::span ids(inputs.input_ids.as<std::int32_t>() + row * columns,
                          static_cast<std::size_t>(columns));
      for (std::int64_t end = columns - kept + 1; end <= columns; ++end) {
        const auto scores = logits(ids.first(static_cast<std::size_t>(end)));
        next = std::copy(scores.begin(), scores.end(), next);
      }
    }
    return outputs;
  }

  std::int64_t vocab_size_;
  std::vector<float> table_;  // [V, V, V]
  GenerationConfig config_;
  generation::GeneratingModel model_;
};

}  // namespace m2::test
