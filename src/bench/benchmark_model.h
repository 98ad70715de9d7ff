// What is measured: a model directory, or random weights of a config.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/weight_format.h"
#include "model/minimax_m2.h"
#include "ops/limit_probe.h"
#include "service/loaded_model.h"

namespace m2::bench {

struct BenchModelOptions {
  /// A directory or hub id; for random weights a directory with a config.json or that file itself,
  /// empty for the published sizes.
  std::string model;
  bool random_weights = false;
  std::optional<std::int64_t> num_layers;  // of a random model, instead of the config's
  std::string format = "bf16";             // of the experts of a random model
  std::string attention_format;            // empty: see default_formats
  std::string head_format;                 // the same
  std::string device = "cpu";
  std::string dtype = "auto";  // of a model directory
  int num_threads = 0;
  std::string cpu_mask;
};

class BenchModel {
 public:
  /// Throws what loading throws, kInvalidArgument for options that do not fit together, and
  /// kResourceExhausted, naming the layers that would fit, for more weights than the memory holds.
  explicit BenchModel(const BenchModelOptions& options);

  [[nodiscard]] MiniMaxM2& model() { return *model_; }
  [[nodiscard]] const ModelWeights& weights() const { return *weights_; }
  [[nodiscard]] const std::string& device() const { return options_.device; }
  /// "int4_g32, attention int4_g32, head int8_g32".
  [[nodiscard]] std::string formats() const;
  /// The kind of products that its experts need.
  [[nodiscard]] MultiplyKind multiply_kind() const;
  /// Limits of the same device, threads and processors.
  [[nodiscard]] std::unique_ptr<LimitProbe> make_probe() const;

 private:
  void load();
  void make();
  [[nodiscard]] MiniMaxM2Config random_config() const;
  void check_memory(const MiniMaxM2Config& config, const ModelFormats& formats) const;

  BenchModelOptions options_;
  std::vector<int> cpus_;
  std::unique_ptr<LoadedModel> loaded_;       // of a directory
  std::unique_ptr<Backend> backend_;          // of random weights
  std::shared_ptr<const ModelWeights> made_;  // the same
  std::unique_ptr<MiniMaxM2> random_;         // the same
  MiniMaxM2* model_ = nullptr;
  const ModelWeights* weights_ = nullptr;
};

}  // namespace m2::bench
