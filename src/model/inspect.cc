#include "model/inspect.h"

#include <array>
#include <initializer_list>

#include "base/error.h"

namespace m2 {
namespace {

struct MatrixSize {
  std::int64_t rows;
  std::int64_t cols;
  [[nodiscard]] std::int64_t elements() const { return rows * cols; }
};

std::array<MatrixSize, 4> projections(const MiniMaxM2Config& config) {
  const std::int64_t q_width = config.num_attention_heads * config.head_dim;
  const std::int64_t kv_width = config.num_key_value_heads * config.head_dim;
  const std::int64_t hidden = config.hidden_size;
  return {{{q_width, hidden}, {kv_width, hidden}, {kv_width, hidden}, {hidden, q_width}}};
}

std::array<MatrixSize, 3> expert_matrices(const MiniMaxM2Config& config) {
  const std::int64_t hidden = config.hidden_size;
  const std::int64_t inner = config.intermediate_size;
  return {{{inner, hidden}, {inner, hidden}, {hidden, inner}}};
}

template <std::size_t N>
std::int64_t elements(const std::array<MatrixSize, N>& matrices) {
  std::int64_t sum = 0;
  for (const auto& matrix : matrices) sum += matrix.elements();
  return sum;
}

// Float32 scales of matrices in blocks.
template <std::size_t N>
std::int64_t scale_count(const std::array<MatrixSize, N>& matrices,
                         const std::optional<std::array<std::int64_t, 2>>& block) {
  if (!block.has_value()) return static_cast<std::int64_t>(N);
  const auto [height, width] = *block;
  std::int64_t sum = 0;
  for (const auto& [rows, cols] : matrices) {
    sum += ((rows + height - 1) / height) * ((cols + width - 1) / width);
  }
  return sum;
}

// Adds a matrix's elements to `component` and its scales to the sum of all scales.
void add(const WeightView& view, std::int64_t& component, ComponentSizes& sizes) {
  if (view.block_format != BlockFormat::kNone) {
    component += view.num_bytes();
    return;
  }
  const auto element_bytes =
      view.rows * view.cols * static_cast<std::int64_t>(dtype_size(view.dtype));
  component += element_bytes;
  sizes.scales += view.num_bytes() - element_bytes;
}

std::int64_t vector_bytes(std::initializer_list<TensorView> views) {
  std::size_t sum = 0;
  for (const auto& view : views) sum += view.num_bytes();
  return static_cast<std::int64_t>(sum);
}

}  // namespace

ComponentSizes count_parameters(const MiniMaxM2Config& config) {
  const std::int64_t layers = config.num_hidden_layers;
  const std::int64_t head_width = config.num_attention_heads + config.num_key_value_heads;
  ComponentSizes counts;
  counts.embedding = config.vocab_size * config.hidden_size;
  counts.lm_head = config.tie_word_embeddings ? 0 : counts.embedding;
  counts.attention = layers * elements(projections(config));
  counts.norms =
      layers * (2 * config.hidden_size + head_width * config.head_dim) + config.hidden_size;
  counts.router = layers * config.num_local_experts * config.hidden_size;
  counts.experts = layers * config.num_local_experts * elements(expert_matrices(config));
  counts.correction_bias = layers * config.num_local_experts;
  return counts;
}

std::int64_t active_parameters(const MiniMaxM2Config& config) {
  const ComponentSizes counts = count_parameters(config);
  const std::int64_t chosen =
      counts.experts / config.num_local_experts * config.num_experts_per_tok;
  return counts.parameters() - counts.experts + chosen;
}

ComponentSizes estimate_bytes(const MiniMaxM2Config& config, DType dtype) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, is_floating(dtype), "estimate_bytes: weights of dtype ",
             dtype_name(dtype), " do not exist");
  const bool blocks = dtype == DType::kF8E4M3;
  const auto matrix_bytes = static_cast<std::int64_t>(dtype_size(dtype));
  const auto plain_bytes = static_cast<std::int64_t>(dtype_size(blocks ? DType::kBF16 : dtype));
  const auto router_bytes = static_cast<std::int64_t>(dtype_size(blocks ? DType::kF32 : dtype));
  ComponentSizes bytes = count_parameters(config);
  bytes.embedding *= plain_bytes;
  bytes.lm_head *= plain_bytes;
  bytes.norms *= plain_bytes;
  bytes.attention *= matrix_bytes;
  bytes.experts *= matrix_bytes;
  bytes.router *= router_bytes;
  bytes.correction_bias *= router_bytes;
  if (blocks) {
    const auto block = config.quantization.value_or(QuantizationConfig()).weight_block_size;
    const std::int64_t in_layer =
        scale_count(projections(config), block) +
        config.num_local_experts * scale_count(expert_matrices(config), block);
    bytes.scales = config.num_hidden_layers * in_layer * static_cast<std::int64_t>(sizeof(float));
  }
  return bytes;
}

ComponentSizes stored_bytes(const ModelWeights& weights) {
  ComponentSizes bytes;
  add(weights.embed_tokens, bytes.embedding, bytes);
  if (!weights.tied) add(weights.lm_head, bytes.lm_head, bytes);
  bytes.norms = vector_bytes({weights.norm});
  for (const auto& layer : weights.layers) {
    bytes.norms +=
        vector_bytes({layer.input_norm, layer.post_attention_norm, layer.q_norm, layer.k_norm});
    bytes.correction_bias += vector_bytes({layer.correction_bias});
    for (const auto* view : {&layer.q, &layer.k, &layer.v, &layer.attn_out}) {
      add(*view, bytes.attention, bytes);
    }
    add(layer.gate, bytes.router, bytes);
    for (const auto& expert : layer.experts) {
      for (const auto* view : {&expert.gate, &expert.up, &expert.down}) {
        add(*view, bytes.experts, bytes);
      }
    }
  }
  return bytes;
}

std::string_view storage_name(const CheckpointTensor& tensor) {
  const bool blocks = tensor.block_format != BlockFormat::kNone;
  return blocks ? block_format_name(tensor.block_format) : dtype_name(tensor.view.dtype);
}

std::map<std::string, std::int64_t> bytes_by_storage(const Checkpoint& checkpoint) {
  std::map<std::string, std::int64_t> bytes;
  for (const auto& tensor : checkpoint.tensors()) {
    bytes[std::string(storage_name(tensor))] += static_cast<std::int64_t>(tensor.view.num_bytes());
  }
  return bytes;
}

std::int64_t kv_bytes_per_token(const MiniMaxM2Config& config, KvFormat format) {
  return config.num_hidden_layers * 2 * config.num_key_value_heads *
         kv_vector_bytes(format, config.head_dim);
}

std::int64_t memory_bytes(const MiniMaxM2Config& config, std::int64_t weight_bytes, KvFormat format,
                          std::int64_t num_tokens) {
  return weight_bytes + num_tokens * kv_bytes_per_token(config, format);
}

}  // namespace m2
