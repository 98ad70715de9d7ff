#include "model/kv_cache.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/error.h"
#include "kv/sequence_blocks.h"

namespace m2 {
namespace {

std::int32_t count_blocks(const KvCacheOptions& options) {
  M2_CHECK(options.block_size > 0 && options.num_tokens >= 0, "empty KV cache blocks");
  const std::int64_t blocks = SequenceBlocks::blocks_for(options.num_tokens, options.block_size);
  M2_REQUIRE(ErrorCode::kInvalidArgument, blocks <= INT32_MAX, "KV cache: ", options.num_tokens,
             " tokens are too many");
  return static_cast<std::int32_t>(blocks);
}

}  // namespace

KvCache::KvCache(const Placement& placement, const MiniMaxM2Config& config,
                 const KvCacheOptions& options)
    : placement_(placement),
      block_shape_{config.num_key_value_heads, options.block_size, config.head_dim},
      block_size_(options.block_size),
      format_(options.format),
      allocator_(count_blocks(options)) {
  for (const auto& backend : placement_.layers) {
    const auto used = std::ranges::find(backends_, backend.get());
    const bool reuse = options.one_pass && used != backends_.end();
    storage_.push_back(reuse ? static_cast<std::size_t>(used - backends_.begin())
                             : backends_.size());
    if (reuse) continue;
    backends_.push_back(backend.get());
    keys_.push_back(allocate(*backend, allocator_.num_blocks()));
    values_.push_back(allocate(*backend, allocator_.num_blocks()));
  }
}

// [P, Nkv, B, D]
Tensor KvCache::allocate(Backend& backend, std::int32_t num_blocks) const {
  return backend.allocate(storage_dtype(format_),
                          {num_blocks, block_shape_[0], block_shape_[1], block_shape_[2]});
}

KvCacheView KvCache::layer(std::size_t layer) const {
  return {.keys = keys_[storage_[layer]].view(),
          .values = values_[storage_[layer]].view(),
          .format = format_,
          .quantized = quantized_ != nullptr ? quantized_->layer(layer) : QuantizedBlocksView()};
}

void KvCache::attach(const QuantizedPool& pool) {
  for (const auto& backend : placement_.layers) {
    M2_REQUIRE(ErrorCode::kUnsupported, backend->host_accessible(),
               "QuantizedCache: ", backend->description(),
               " does not work in the host's memory; use a DynamicCache");
  }
  quantized_ = &pool;
}

bool KvCache::has_block(std::int32_t block) const {
  if (block < kFirstQuantizedBlock) return block >= 0 && block < allocator_.num_blocks();
  return quantized_ != nullptr && block - kFirstQuantizedBlock < quantized_->num_blocks();
}

void KvCache::grow(std::int64_t num_tokens) {
  const KvCacheOptions options = {.num_tokens = num_tokens, .block_size = block_size_};
  const std::int32_t num_blocks = count_blocks(options);
  // One tensor after the other, so that only one exists twice.
  for (std::size_t storage = 0; storage < keys_.size(); ++storage) {
    for (Tensor* tensor : {&keys_[storage], &values_[storage]}) {
      const TensorView held = tensor->view();
      if (held.shape[0] >= num_blocks) continue;  // of a call that ran out of memory later
      Backend& backend = *backends_[storage];
      Tensor larger = allocate(backend, num_blocks);
      if (held.num_elements() > 0) {
        backend.copy(held, {larger.view().data, held.dtype, held.shape});
        backend.synchronize();  // the old memory goes
      }
      *tensor = std::move(larger);
    }
  }
  allocator_.grow(num_blocks);
}

// The block of [P, Nkv, B, D], as [Nkv, B, D].
TensorView KvCache::block_of(const Tensor& tensor, std::int32_t block) const {
  const TensorView& all = tensor.view();
  const auto bytes = static_cast<std::size_t>(block_shape_.num_elements()) * dtype_size(all.dtype);
  return {static_cast<std::byte*>(all.data) + static_cast<std::size_t>(block) * bytes, all.dtype,
          block_shape_};
}

void KvCache::copy_block(std::int32_t from, std::int32_t to) {
  for (std::size_t storage = 0; storage < keys_.size(); ++storage) {
    Backend& backend = *backends_[storage];
    backend.copy(block_of(keys_[storage], from), block_of(keys_[storage], to));
    backend.copy(block_of(values_[storage], from), block_of(values_[storage], to));
  }
}

void KvCache::read_block(std::size_t layer, std::int32_t block, KvPart part,
                         const TensorView& host) const {
  if (block >= kFirstQuantizedBlock) return read_quantized(layer, block, part, host);
  const TensorView stored =
      block_of(part == KvPart::kKeys ? keys_[storage_[layer]] : values_[storage_[layer]], block);
  Backend& backend = *placement_.layers[layer];
  if (stored.dtype == DType::kF32) return backend.download(stored, host);
  const Tensor copy(stored.dtype, stored.shape);
  backend.download(stored, copy.view());
  for (std::int64_t i = 0; i < host.num_elements(); ++i) {
    host.as<float>()[i] = load_float(copy.view().data, stored.dtype, i);
  }
}

void KvCache::read_quantized(std::size_t layer, std::int32_t block, KvPart part,
                             const TensorView& host) const {
  const KvCacheView view = this->layer(layer);
  const std::int64_t dim = block_shape_[2];
  for (std::int64_t head = 0; head < block_shape_[0]; ++head) {
    for (std::int64_t offset = 0; offset < block_size_; ++offset) {
      float* to = host.as<float>() + (head * block_size_ + offset) * dim;
      load_vector(view, part, block, head, offset, {to, static_cast<std::size_t>(dim)});
    }
  }
}

void KvCache::write_block(std::size_t layer, std::int32_t block, KvPart part,
                          const TensorView& host) {
  placement_.layers[layer]->upload(
      host,
      block_of(part == KvPart::kKeys ? keys_[storage_[layer]] : values_[storage_[layer]], block));
}

}  // namespace m2
