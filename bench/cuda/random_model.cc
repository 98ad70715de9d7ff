#include "random_model.h"

#include <cmath>
#include <set>

#include "base/error.h"
#include "ops/random_fill.h"

namespace m2::bench {

std::vector<std::int32_t> random_routing(const MiniMaxM2Config& config, std::int64_t num_tokens,
                                         std::mt19937& engine) {
  std::vector<std::int32_t> ids;
  std::uniform_int_distribution<std::int32_t> draw(
      0, static_cast<std::int32_t>(config.num_local_experts) - 1);
  for (std::int64_t t = 0; t < num_tokens; ++t) {
    std::set<std::int32_t> chosen;
    while (std::ssize(chosen) < config.num_experts_per_tok) chosen.insert(draw(engine));
    ids.insert(ids.end(), chosen.begin(), chosen.end());
  }
  return ids;
}

Tensor upload(Backend& backend, std::vector<std::int32_t> values, const Shape& shape) {
  Tensor device = backend.allocate(DType::kI32, shape);
  backend.upload({values.data(), DType::kI32, shape}, device.view());
  return device;
}

Tensor random_tensor(Backend& backend, const Shape& shape) {
  Tensor device = backend.allocate(DType::kF32, shape);
  backend.random_fill({.data = device.view().data,
                       .num_bytes = static_cast<std::int64_t>(device.view().num_bytes()),
                       .pattern = random_pattern(DType::kF32, 1.0F),
                       .seed = 7});
  return device;
}

std::string_view WeightFormat::name() const {
  return block_format == BlockFormat::kNone ? dtype_name(dtype) : block_format_name(block_format);
}

TensorView RandomWeights::fill(std::int64_t num_bytes, const RandomPattern& pattern) {
  tensors_.push_back(backend_.allocate(DType::kU8, {num_bytes}));
  const TensorView bytes = tensors_.back().view();
  backend_.random_fill(
      {.data = bytes.data, .num_bytes = num_bytes, .pattern = pattern, .seed = ++seed_});
  return bytes;
}

WeightView RandomWeights::matrix(std::int64_t rows, std::int64_t cols, WeightFormat format) {
  const float deviation = 1.0F / std::sqrt(static_cast<float>(cols));
  WeightView view = {
      .dtype = format.dtype, .rows = rows, .cols = cols, .block_format = format.block_format};
  const bool plain = format.block_format == BlockFormat::kNone;
  const std::int64_t num_bytes =
      plain ? rows * cols * static_cast<std::int64_t>(dtype_size(format.dtype))
            : block_matrix_bytes(format.block_format, rows, cols);
  view.data = fill(num_bytes, random_pattern(view, deviation)).data;
  if (format.dtype != DType::kF8E4M3) return view;
  const std::int64_t blocks = (rows + 127) / 128 * ((cols + 127) / 128);
  const TensorView scales = fill(blocks * static_cast<std::int64_t>(sizeof(float)),
                                 random_pattern(DType::kF32, deviation / kRandomF8Deviation));
  view.scale = static_cast<const float*>(scales.data);
  return view;
}

WeightView RandomWeights::matrix(std::int64_t rows, std::int64_t cols) {
  return matrix(rows, cols, format_);
}

WeightView RandomWeights::embeddings(std::int64_t rows, std::int64_t cols) {
  WeightView view = {.dtype = DType::kBF16, .rows = rows, .cols = cols};
  view.data = fill(view.num_bytes(), random_pattern(view, 1.0F)).data;
  return view;
}

TensorView RandomWeights::vector(std::int64_t size, float scale) {
  const TensorView bytes =
      fill(size * static_cast<std::int64_t>(sizeof(float)), random_pattern(DType::kF32, scale));
  return {bytes.data, DType::kF32, {size}};
}

// One allocation and filling for all experts of a layer.
std::vector<ExpertWeights> RandomWeights::experts(const MiniMaxM2Config& config) {
  const std::int64_t count = config.num_local_experts;
  const WeightView all = matrix(3 * count * config.intermediate_size, config.hidden_size);
  const std::int64_t bytes = (all.num_bytes() - all.num_scale_bytes()) / (3 * count);
  const std::int64_t scales = config.intermediate_size / 128 * (config.hidden_size / 128);
  std::vector<ExpertWeights> experts(static_cast<std::size_t>(count));
  std::int64_t index = 0;
  for (ExpertWeights& expert : experts) {
    for (WeightView* part : {&expert.gate, &expert.up, &expert.down}) {
      *part = all;
      part->data = static_cast<const std::byte*>(all.data) + index * bytes;
      if (all.scale != nullptr) part->scale = all.scale + index * scales;
      const bool down = part == &expert.down;
      part->rows = down ? config.hidden_size : config.intermediate_size;
      part->cols = down ? config.intermediate_size : config.hidden_size;
      ++index;
    }
  }
  return experts;
}

MiniMaxM2Config full_width_config() {
  MiniMaxM2Config config;
  config.vocab_size = 200064;
  config.hidden_size = 3072;
  config.intermediate_size = 1536;
  config.num_hidden_layers = 62;
  config.num_attention_heads = 48;
  config.num_key_value_heads = 8;
  config.head_dim = 128;
  config.num_local_experts = 256;
  config.num_experts_per_tok = 8;
  config.max_position_embeddings = 196608;
  config.rope.partial_rotary_factor = 0.5;
  return config;
}

double expert_flops(const MiniMaxM2Config& config, std::int64_t num_tokens) {
  return 6.0 * static_cast<double>(num_tokens * config.num_experts_per_tok) *
         static_cast<double>(config.hidden_size * config.intermediate_size);
}

}  // namespace m2::bench
