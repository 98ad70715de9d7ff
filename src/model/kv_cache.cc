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

// To `shape` [P, ...] with the blocks that it holds.
void grow_tensor(Backend& backend, DType dtype, const Shape& shape, Tensor& tensor) {
  const TensorView held = tensor.present() ? tensor.view() : TensorView();
  if (held.present() && held.shape[0] >= shape[0]) return;
  Tensor larger = backend.allocate(dtype, shape);
  if (held.present() && held.num_elements() > 0) {
    backend.copy(held, {larger.view().data, held.dtype, held.shape});
    backend.synchronize();  // the old memory goes
  }
  tensor = std::move(larger);
}

// The blocks of [P, ...], flat: [count, numbers in a block].
TensorView blocks_of(const Tensor& tensor, const BlockRun& run) {
  const TensorView& all = tensor.view();
  const std::int64_t numbers = all.num_elements() / all.shape[0];
  const std::size_t bytes = static_cast<std::size_t>(numbers) * dtype_size(all.dtype);
  return {static_cast<std::byte*>(all.data) + static_cast<std::size_t>(run.first) * bytes,
          all.dtype,
          {run.count, numbers}};
}

}  // namespace

KvFormat default_kv_format(const Placement& placement) {
  const auto is_device = [](const auto& backend) { return !backend->host_accessible(); };
  return std::ranges::any_of(placement.layers, is_device) ? KvFormat::kBF16 : KvFormat::kF32;
}

KvCache::KvCache(const Placement& placement, const MiniMaxM2Config& config,
                 const KvCacheOptions& options)
    : placement_(placement),
      block_shape_{config.num_key_value_heads, options.block_size, config.head_dim},
      block_size_(options.block_size),
      format_(options.format),
      allocator_(count_blocks(options)),
      host_(std::make_shared<ReferenceBackend>()) {
  for (const auto& backend : placement_.layers) {
    M2_REQUIRE(ErrorCode::kUnsupported, format_ != KvFormat::kInt8 || backend->host_accessible(),
               "KV cache: ", backend->description(),
               " does not read int8; use \"bfloat16\" or \"float32\"");
    const bool away = options.offloading && !backend->host_accessible();
    used_.push_back(away || options.one_pass ? shared_storage(*backend) : add_storage(*backend));
    storage_.push_back(away ? add_storage(*host_) : used_.back());
  }
}

std::size_t KvCache::add_storage(Backend& backend) {
  storages_.push_back({.backend = &backend});
  grow(storages_.back(), allocator_.num_blocks());
  return storages_.size() - 1;
}

std::size_t KvCache::shared_storage(Backend& backend) {
  const auto found = shared_.find(&backend);
  if (found != shared_.end()) return found->second;
  return shared_[&backend] = add_storage(backend);
}

// One tensor after the other, so that only one exists twice. Those of a call that ran out of memory
// later are large enough already.
void KvCache::grow(Storage& storage, std::int32_t num_blocks) const {
  const std::int64_t head_dim = block_shape_[2];
  const Shape vectors = {num_blocks, block_shape_[0], block_shape_[1], head_dim};
  grow_tensor(*storage.backend, storage_dtype(format_), vectors, storage.keys);
  grow_tensor(*storage.backend, storage_dtype(format_), vectors, storage.values);
  if (format_ != KvFormat::kInt8) return;
  const Shape groups = {num_blocks, block_shape_[0], block_shape_[1],
                        head_dim / int8_group_size(head_dim), 2};
  grow_tensor(*storage.backend, DType::kF32, groups, storage.key_groups);
  grow_tensor(*storage.backend, DType::kF32, groups, storage.value_groups);
}

KvCacheView KvCache::layer(std::size_t layer) const {
  const Storage& storage = storages_[used_[layer]];
  KvCacheView view = {
      .keys = storage.keys.view(), .values = storage.values.view(), .format = format_};
  if (quantized_ != nullptr) view.quantized = quantized_->layer(layer);
  if (format_ == KvFormat::kInt8) {
    view.quantized = {.keys = view.keys,
                      .values = view.values,
                      .key_groups = storage.key_groups.view(),
                      .value_groups = storage.value_groups.view(),
                      .bits = 8,
                      .group_size = int8_group_size(block_shape_[2])};
  }
  return view;
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
  for (Storage& storage : storages_) grow(storage, num_blocks);
  allocator_.grow(num_blocks);
}

// The block of [P, Nkv, B, D], as [Nkv, B, D].
TensorView KvCache::block_of(const Tensor& tensor, std::int32_t block) const {
  const TensorView run = blocks_of(tensor, {block, 1});
  return {run.data, run.dtype, block_shape_};
}

void KvCache::upload(std::size_t layer, std::span<const BlockRun> runs) {
  if (used_[layer] == storage_[layer]) return;
  const Storage& from = storages_[storage_[layer]];
  const Storage& to = storages_[used_[layer]];
  for (const KvPart part : {KvPart::kKeys, KvPart::kValues}) {
    for (const BlockRun& run : runs) {
      to.backend->upload(blocks_of(from.part(part), run), blocks_of(to.part(part), run));
    }
  }
}

void KvCache::download(std::size_t layer, std::span<const BlockRun> runs) {
  if (used_[layer] == storage_[layer]) return;
  const Storage& from = storages_[used_[layer]];
  const Storage& to = storages_[storage_[layer]];
  for (const KvPart part : {KvPart::kKeys, KvPart::kValues}) {
    for (const BlockRun& run : runs) {
      from.backend->download(blocks_of(from.part(part), run), blocks_of(to.part(part), run));
    }
  }
}

void KvCache::copy_block(std::int32_t from, std::int32_t to) {
  for (Storage& storage : storages_) {
    for (const Tensor* tensor :
         {&storage.keys, &storage.values, &storage.key_groups, &storage.value_groups}) {
      if (!tensor->present()) continue;
      storage.backend->copy(blocks_of(*tensor, {from, 1}), blocks_of(*tensor, {to, 1}));
    }
  }
}

void KvCache::read_block(std::size_t layer, std::int32_t block, KvPart part,
                         const TensorView& host) const {
  if (this->layer(layer).has_codes(block)) return read_codes(layer, block, part, host);
  const Storage& storage = storages_[storage_[layer]];
  const TensorView stored = block_of(storage.part(part), block);
  if (stored.dtype == DType::kF32) return storage.backend->download(stored, host);
  const Tensor copy(stored.dtype, stored.shape);
  storage.backend->download(stored, copy.view());
  for (std::int64_t i = 0; i < host.num_elements(); ++i) {
    host.as<float>()[i] = load_float(copy.view().data, stored.dtype, i);
  }
}

void KvCache::read_codes(std::size_t layer, std::int32_t block, KvPart part,
                         const TensorView& host) const {
  const KvCacheView view = this->layer(layer);
  const std::int64_t dim = block_shape_[2];
  for (std::int64_t head = 0; head < block_shape_[0]; ++head) {
    for (std::int64_t offset = 0; offset < block_size_; ++offset) {
      float* to = host.as<float>() + (head * block_size_ + offset) * dim;
      load_vector(view, part, {block, head, offset}, {to, static_cast<std::size_t>(dim)});
    }
  }
}

void KvCache::write_block(std::size_t layer, std::int32_t block, KvPart part,
                          const TensorView& host) {
  const Storage& storage = storages_[storage_[layer]];
  storage.backend->upload(host, block_of(storage.part(part), block));
}

}  // namespace m2
