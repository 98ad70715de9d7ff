#include "bench/random_model.h"

#include <array>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace m2::bench {
namespace {

constexpr std::int64_t kAlignment = 256;
constexpr WeightFormat kF32 = {DType::kF32};
constexpr WeightFormat kBF16 = {DType::kBF16};

std::int64_t element_bytes(const WeightView& weight) {
  WeightView elements = weight;
  elements.scale = nullptr;
  return elements.num_bytes();
}

std::int64_t num_scales(const WeightView& weight) {
  if (weight.dtype != DType::kF8E4M3) return 0;
  return (weight.rows + weight.block_rows - 1) / weight.block_rows * weight.scale_cols();
}

std::int64_t aligned(std::int64_t num_bytes) {
  return (num_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// The matrices of a layer by their formats, without memory.
LayerWeights unplaced_layer(const MiniMaxM2Config& config, const ModelFormats& formats) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t inner = config.intermediate_size;
  const std::int64_t q_width = config.num_attention_heads * config.head_dim;
  const std::int64_t kv_width = config.num_key_value_heads * config.head_dim;
  LayerWeights layer;
  layer.q = unplaced_weight(formats.attention, q_width, hidden);
  layer.k = unplaced_weight(formats.attention, kv_width, hidden);
  layer.v = unplaced_weight(formats.attention, kv_width, hidden);
  layer.attn_out = unplaced_weight(formats.attention, hidden, q_width);
  layer.gate = unplaced_weight(kF32, config.num_local_experts, hidden);
  layer.experts.assign(static_cast<std::size_t>(config.num_local_experts),
                       {.gate = unplaced_weight(formats.experts, inner, hidden),
                        .up = unplaced_weight(formats.experts, inner, hidden),
                        .down = unplaced_weight(formats.experts, hidden, inner)});
  return layer;
}

std::vector<WeightView*> matrices_of(LayerWeights& layer) {
  std::vector<WeightView*> matrices = {&layer.q, &layer.k, &layer.v, &layer.attn_out, &layer.gate};
  for (ExpertWeights& expert : layer.experts) {
    for (WeightView* matrix : {&expert.gate, &expert.up, &expert.down}) matrices.push_back(matrix);
  }
  return matrices;
}

std::int64_t bytes_of(const WeightView& matrix) {
  return aligned(element_bytes(matrix)) +
         num_scales(matrix) * static_cast<std::int64_t>(sizeof(float));
}

// Gives memory and contents to what the formats describe.
class Maker {
 public:
  explicit Maker(Backend& backend) : backend_(backend) {}

  // One allocation for all of them: a layer has hundreds.
  void place(const std::vector<WeightView*>& matrices) {
    std::int64_t num_bytes = 0;
    std::int64_t scales = 0;
    for (const WeightView* matrix : matrices) {
      num_bytes += aligned(element_bytes(*matrix));
      scales += num_scales(*matrix);
    }
    auto* data = static_cast<std::byte*>(own(backend_.allocate(DType::kU8, {num_bytes})).data);
    float* scale =
        scales > 0 ? static_cast<float*>(scale_vector(*matrices[0], scales).data) : nullptr;
    for (WeightView* matrix : matrices) {
      matrix->data = data;
      fill(*matrix, data);
      data += aligned(element_bytes(*matrix));
      const std::int64_t own_scales = num_scales(*matrix);
      if (own_scales > 0) matrix->scale = scale;
      scale += own_scales;
    }
  }

  TensorView vector(std::int64_t size, float value) {
    const std::vector<float> host(static_cast<std::size_t>(size), value);
    const TensorView device = own(backend_.allocate(DType::kF32, {size}));
    backend_.upload({const_cast<float*>(host.data()), DType::kF32, {size}}, device);
    return device;
  }

  std::vector<std::shared_ptr<const void>> take_owners() { return std::move(owners_); }

 private:
  // Near enough for all matrices of a layer, whose widths differ by a small factor.
  TensorView scale_vector(const WeightView& matrix, std::int64_t size) {
    return vector(size, deviation(matrix) / kRandomF8Deviation);
  }

  static float deviation(const WeightView& matrix) {
    return 1.0F / std::sqrt(static_cast<float>(matrix.cols));
  }

  void fill(const WeightView& matrix, std::byte* data) {
    backend_.random_fill({.data = data,
                          .num_bytes = element_bytes(matrix),
                          .pattern = random_pattern(matrix, deviation(matrix)),
                          .seed = ++seed_});
  }

  TensorView own(Tensor tensor) {
    auto owner = std::make_shared<const Tensor>(std::move(tensor));
    const TensorView view = owner->view();
    owners_.push_back(std::move(owner));
    return view;
  }

  Backend& backend_;
  std::uint64_t seed_ = 0;
  std::vector<std::shared_ptr<const void>> owners_;
};

}  // namespace

std::int64_t random_model_bytes(const MiniMaxM2Config& config, const ModelFormats& formats) {
  LayerWeights layer = unplaced_layer(config, formats);
  std::int64_t layer_bytes = 0;
  for (const WeightView* matrix : matrices_of(layer)) layer_bytes += bytes_of(*matrix);
  return config.num_hidden_layers * layer_bytes +
         bytes_of(unplaced_weight(kBF16, config.vocab_size, config.hidden_size)) +
         bytes_of(unplaced_weight(formats.head, config.vocab_size, config.hidden_size));
}

std::shared_ptr<const ModelWeights> make_random_model(const MiniMaxM2Config& config,
                                                      const ModelFormats& formats,
                                                      Backend& backend) {
  Maker maker(backend);
  auto weights = std::make_shared<ModelWeights>();
  weights->embed_tokens = unplaced_weight(kBF16, config.vocab_size, config.hidden_size);
  weights->lm_head = unplaced_weight(formats.head, config.vocab_size, config.hidden_size);
  maker.place({&weights->embed_tokens});
  maker.place({&weights->lm_head});
  weights->norm = maker.vector(config.hidden_size, 1.0F);
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) {
    LayerWeights layer = unplaced_layer(config, formats);
    maker.place(matrices_of(layer));
    layer.input_norm = maker.vector(config.hidden_size, 1.0F);
    layer.post_attention_norm = maker.vector(config.hidden_size, 1.0F);
    layer.q_norm = maker.vector(config.num_attention_heads * config.head_dim, 1.0F);
    layer.k_norm = maker.vector(config.num_key_value_heads * config.head_dim, 1.0F);
    layer.correction_bias = maker.vector(config.num_local_experts, 0.0F);
    weights->layers.push_back(std::move(layer));
  }
  backend.synchronize();
  weights->owners = maker.take_owners();
  return weights;
}

}  // namespace m2::bench
