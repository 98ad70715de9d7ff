// Blocks of keys and values that were quantised after they left the exact end of a cache.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/block_allocator.h"
#include "ops/kv_cache_view.h"

namespace m2 {

struct QuantizedPoolOptions {
  std::int64_t num_layers = 0;
  Shape block;  // [Nkv, B, D]
  int bits = 4;
  std::int64_t group_size = 64;
};

/// In the host's memory; grows by doubling.
class QuantizedPool {
 public:
  explicit QuantizedPool(const QuantizedPoolOptions& options);

  [[nodiscard]] BlockAllocator& allocator() { return allocator_; }
  [[nodiscard]] std::int32_t num_blocks() const { return allocator_.num_blocks(); }
  /// Valid until the pool grows.
  [[nodiscard]] QuantizedBlocksView layer(std::size_t layer) const;

  /// Takes a block, growing if none is free. Its owner is the caller.
  [[nodiscard]] std::int32_t take();
  /// Quantises keys and values of a layer into a block: `keys`, `values` [Nkv, B, D] f32.
  void store(std::size_t layer, std::int32_t block, const TensorView& keys,
             const TensorView& values);

 private:
  struct Layer {
    Tensor keys;          // [P', Nkv, B, D * bits / 8] u8
    Tensor values;        // the same
    Tensor key_groups;    // [P', Nkv, B, D / G, 2] f32
    Tensor value_groups;  // the same
  };
  void grow(std::int32_t num_blocks);

  QuantizedPoolOptions options_;
  BlockAllocator allocator_{0};
  std::vector<Layer> layers_;  // [L]
};

}  // namespace m2
