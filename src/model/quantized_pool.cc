#include "model/quantized_pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

void quantize_block(const TensorView& numbers, const QuantizedPoolOptions& options,
                    std::uint8_t* codes, float* groups) {
  const std::int64_t dim = numbers.shape[2];
  const std::int64_t num_vectors = numbers.shape[0] * numbers.shape[1];
  for (std::int64_t i = 0; i < num_vectors; ++i) {
    quantize_vector({numbers.as<float>() + i * dim, static_cast<std::size_t>(dim)}, options.bits,
                    options.group_size, codes + i * dim * options.bits / 8,
                    groups + i * dim / options.group_size * 2);
  }
}

Tensor grown(const Tensor& held, DType dtype, const Shape& shape) {
  Tensor larger(dtype, shape);
  if (held.present()) std::memcpy(larger.view().data, held.view().data, held.view().num_bytes());
  return larger;
}

}  // namespace

QuantizedPool::QuantizedPool(const QuantizedPoolOptions& options)
    : options_(options), layers_(static_cast<std::size_t>(options.num_layers)) {
  constexpr std::int32_t kFirstBlocks = 8;
  grow(kFirstBlocks);
}

void QuantizedPool::grow(std::int32_t num_blocks) {
  const Shape& block = options_.block;
  const Shape codes = {num_blocks, block[0], block[1], block[2] * options_.bits / 8};
  const Shape groups = {num_blocks, block[0], block[1], block[2] / options_.group_size, 2};
  for (Layer& layer : layers_) {
    layer.keys = grown(layer.keys, DType::kU8, codes);
    layer.values = grown(layer.values, DType::kU8, codes);
    layer.key_groups = grown(layer.key_groups, DType::kF32, groups);
    layer.value_groups = grown(layer.value_groups, DType::kF32, groups);
  }
  allocator_.grow(num_blocks);
}

QuantizedBlocksView QuantizedPool::layer(std::size_t layer) const {
  const Layer& tensors = layers_[layer];
  return {.keys = tensors.keys.view(),
          .values = tensors.values.view(),
          .key_groups = tensors.key_groups.view(),
          .value_groups = tensors.value_groups.view(),
          .bits = options_.bits,
          .group_size = options_.group_size};
}

std::int32_t QuantizedPool::take() {
  if (allocator_.num_free() == 0) {
    M2_REQUIRE(ErrorCode::kResourceExhausted, num_blocks() < kFirstQuantizedBlock / 2,
               "quantised cache: ", num_blocks(), " blocks are the most");
    grow(2 * num_blocks());
  }
  return *allocator_.allocate();
}

void QuantizedPool::store(std::size_t layer, std::int32_t block, const TensorView& keys,
                          const TensorView& values) {
  const QuantizedBlocksView to = this->layer(layer);
  const std::int64_t codes = to.keys.num_elements() / num_blocks() * block;
  const std::int64_t groups = to.key_groups.num_elements() / num_blocks() * block;
  quantize_block(keys, options_, to.keys.as<std::uint8_t>() + codes,
                 to.key_groups.as<float>() + groups);
  quantize_block(values, options_, to.values.as<std::uint8_t>() + codes,
                 to.value_groups.as<float>() + groups);
}

}  // namespace m2
