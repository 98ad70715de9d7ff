// Keys and values of all layers, in blocks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "kv/block_allocator.h"
#include "m2/config.h"
#include "model/placement.h"
#include "model/quantized_pool.h"

namespace m2 {

struct KvCacheOptions {
  std::int64_t num_tokens = 0;   // room for this many tokens in all sequences together
  std::int32_t block_size = 32;  // tokens in a block
  KvFormat format = KvFormat::kF32;
  /// For a single forward pass that nobody continues: the layers of a backend use the same memory
  /// one after the other.
  bool one_pass = false;
  /// Layers of backends that do not work in the host's memory lie there all the same. Their
  /// operations use one memory of the backend, into which upload() and download() bring each layer.
  bool offloading = false;
};

/// What the engine stores when nobody says: BF16 where a device is, whose fast attention reads it;
/// on the processor alone F32, which loses nothing.
[[nodiscard]] KvFormat default_kv_format(const Placement& placement);

/// Blocks first .. first + count - 1.
struct BlockRun {
  std::int32_t first;
  std::int32_t count;
};

/// Owns the memory, planned at the start; sequences own blocks of it (SequenceBlocks).
class KvCache {
 public:
  /// The keys and values of a layer lie in the memory of the layer's backend, unless offloaded.
  /// Throws kUnsupported for kInt8 on a backend that does not work in the host's memory.
  KvCache(const Placement& placement, const MiniMaxM2Config& config, const KvCacheOptions& options);

  [[nodiscard]] BlockAllocator& allocator() { return allocator_; }
  [[nodiscard]] std::int32_t block_size() const { return block_size_; }
  [[nodiscard]] std::int64_t num_tokens() const {
    return std::int64_t{allocator_.num_blocks()} * block_size_;
  }
  /// What the operations of a layer use.
  [[nodiscard]] KvCacheView layer(std::size_t layer) const;
  /// True when a layer is offloaded; otherwise upload() and download() do nothing.
  [[nodiscard]] bool is_offloaded() const { return storage_ != used_; }
  /// Before the operations of a layer: brings the blocks that they read or write in part.
  void upload(std::size_t layer, std::span<const BlockRun> runs);
  /// After them: takes the blocks that they wrote back.
  void download(std::size_t layer, std::span<const BlockRun> runs);
  /// Block numbers from kFirstQuantizedBlock on mean blocks of `pool`, which must live longer.
  /// Throws kUnsupported when a layer's backend does not work in the host's memory.
  void attach(const QuantizedPool& pool);
  /// True when a block table may hold the number.
  [[nodiscard]] bool has_block(std::int32_t block) const;

  /// Room for `num_tokens` tokens in all; what the blocks hold stays. Views of the layers end. When
  /// memory runs out (kResourceExhausted) the cache is as usable as before.
  void grow(std::int64_t num_tokens);
  /// Copies the keys and values of a block in every layer.
  void copy_block(std::int32_t from, std::int32_t to);
  /// The keys, or else the values, of a block in f32, [Nkv, B, D] in the host's memory.
  void read_block(std::size_t layer, std::int32_t block, KvPart part, const TensorView& host) const;
  /// The other way round, for an exact block of f32.
  void write_block(std::size_t layer, std::int32_t block, KvPart part, const TensorView& host);

 private:
  struct Storage {
    Backend* backend;
    Tensor keys;          // [P, Nkv, B, D]
    Tensor values;        // the same
    Tensor key_groups;    // [P, Nkv, B, D / G, 2] f32 with kInt8, otherwise absent
    Tensor value_groups;  // the same

    [[nodiscard]] const Tensor& part(KvPart which) const {
      return which == KvPart::kKeys ? keys : values;
    }
  };
  [[nodiscard]] std::size_t add_storage(Backend& backend);
  [[nodiscard]] std::size_t shared_storage(Backend& backend);
  void grow(Storage& storage, std::int32_t num_blocks) const;
  void read_codes(std::size_t layer, std::int32_t block, KvPart part, const TensorView& host) const;
  [[nodiscard]] TensorView block_of(const Tensor& tensor, std::int32_t block) const;

  Placement placement_;
  Shape block_shape_;  // [Nkv, B, D]
  std::int32_t block_size_;
  KvFormat format_;
  BlockAllocator allocator_;
  const QuantizedPool* quantized_ = nullptr;
  std::shared_ptr<Backend> host_;           // for the memory of offloaded layers
  std::map<Backend*, std::size_t> shared_;  // the storage that layers take turns in
  std::vector<Storage> storages_;
  std::vector<std::size_t> storage_;  // [L]: which of the storages a layer has
  std::vector<std::size_t> used_;     // [L]: which its operations use
};

}  // namespace m2
