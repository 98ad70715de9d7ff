// Whole models on a device, and one token after the other from them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <vector>

#include "backends/backends.h"
#include "checkpoint/checkpoint.h"
#include "model/causal_lm.h"
#include "model/place_weights.h"

namespace m2::test {

/// A checkpoint on a device.
inline std::unique_ptr<CausalLm> load_on(const std::filesystem::path& path, const char* device,
                                         const WeightLoadOptions& options = {}) {
  const MiniMaxM2Config config = MiniMaxM2Config::from_pretrained(path);
  const std::shared_ptr<Backend> backend = make_backend(device, 0);
  const Placement placement = Placement::on(backend, config.num_hidden_layers);
  const ModelWeights mapped =
      load_weights(config, Checkpoint::open(path), /*report=*/nullptr, /*progress=*/{}, options);
  return std::make_unique<CausalLm>(
      config, std::make_shared<const ModelWeights>(place_weights(mapped, placement)), placement,
      "eager");
}

inline double largest_difference(const TensorView& a, const TensorView& b) {
  EXPECT_EQ(a.shape, b.shape);
  double worst = 0.0;
  for (std::int64_t i = 0; i < b.num_elements(); ++i) {
    const double error = std::fabs(double{a.as<float>()[i]} - double{b.as<float>()[i]});
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

/// A conversation with a model.
class Conversation {
 public:
  explicit Conversation(CausalLm& model) : model_(model) {}

  /// The best token after these; the logits of it are kept.
  std::int64_t next(std::vector<std::int64_t> ids) {
    ForwardInputs inputs;
    inputs.input_ids = {ids.data(), DType::kI64, {1, static_cast<std::int64_t>(ids.size())}};
    inputs.past_key_values = cache_;
    inputs.logits_to_keep = std::int64_t{1};
    logits_ = std::move(model_.forward(inputs).logits);
    const float* first = logits_.as<float>();
    return std::max_element(first, first + logits_.view().num_elements()) - first;
  }
  [[nodiscard]] const Tensor& logits() const { return logits_; }

 private:
  CausalLm& model_;
  std::shared_ptr<Cache> cache_ = std::make_shared<DynamicCache>();
  Tensor logits_;  // [1, 1, V]
};

}  // namespace m2::test
