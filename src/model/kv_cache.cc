#include "model/kv_cache.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/error.h"
#include "kv/sequence_blocks.h"
#include "ops/reference_backend.h"

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
      allocator_(count_blocks(options)),
      host_(std::make_shared<ReferenceBackend>()) {
  for (const auto& backend : placement_.layers) {
    const bool away = options.offloading && !backend->host_accessible();
    used_.push_back(away || options.one_pass ? shared_storage(*backend) : add_storage(*backend));
    storage_.push_back(away ? add_storage(*host_) : used_.back());
  }
}

std::size_t KvCache::add_storage(Backend& backend) {
  backends_.push_back(&backend);
  keys_.push_back(allocate(backend, allocator_.num_blocks()));
  values_.push_back(allocate(backend, allocator_.num_blocks()));
  return backends_.size() - 1;
}

std::size_t KvCache::shared_storage(Backend& backend) {
  const auto found = shared_.find(&backend);
  if (found != shared_.end()) return found->second;
  return shared_[&backend] = add_storage(backend);
}

// [P, Nkv, B, D]
Tensor KvCache::allocate(Backend& backend, std::int32_t num_blocks) const {
  return backend.allocate(storage_dtype(format_),
                          {num_blocks, block_shape_[0], block_shape_[1], block_shape_[2]});
}

KvCacheView KvCache::layer(std::size_t layer) const {
  return {.keys = keys_[used_[layer]].view(),
          .values = values_[used_[layer]].view(),
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

// The blocks of [P, Nkv, B, D], as [count, Nkv, B, D].
TensorView KvCache::blocks_of(const Tensor& tensor, const BlockRun& run) const {
  const TensorView& all = tensor.view();
  const auto bytes = static_cast<std::size_t>(block_shape_.num_elements()) * dtype_size(all.dtype);
  return {static_cast<std::byte*>(all.data) + static_cast<std::size_t>(run.first) * bytes,
          all.dtype,
          {run.count, block_shape_[0], block_shape_[1], block_shape_[2]}};
}

// The block of [P, Nkv, B, D], as [Nkv, B, D].
TensorView KvCache::block_of(const Tensor& tensor, std::int32_t block) const {
  const TensorView run = blocks_of(tensor, {block, 1});
  return {run.data, run.dtype, block_shape_};
}

void KvCache::upload(std::size_t layer, std::span<const BlockRun> runs) {
  if (used_[layer] == storage_[layer]) return;
  Backend& backend = *backends_[used_[layer]];
  for (auto* tensors : {&keys_, &values_}) {
    const Tensor& from = (*tensors)[storage_[layer]];
    const Tensor& to = (*tensors)[used_[layer]];
    for (const BlockRun& run : runs) backend.upload(blocks_of(from, run), blocks_of(to, run));
  }
}

void KvCache::download(std::size_t layer, std::span<const BlockRun> runs) {
  if (used_[layer] == storage_[layer]) return;
  Backend& backend = *backends_[used_[layer]];
  for (auto* tensors : {&keys_, &values_}) {
    const Tensor& from = (*tensors)[used_[layer]];
    const Tensor& to = (*tensors)[storage_[layer]];
    for (const BlockRun& run : runs) backend.download(blocks_of(from, run), blocks_of(to, run));
  }
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
  Backend& backend = *backends_[storage_[layer]];
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
  backends_[storage_[layer]]->upload(
      host,
      block_of(part == KvPart::kKeys ? keys_[storage_[layer]] : values_[storage_[layer]], block));
}

}  // namespace m2
