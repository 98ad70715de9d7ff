// Keys and values of all layers, in blocks.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/block_allocator.h"
#include "m2/config.h"
#include "ops/backend.h"

namespace m2 {

struct KvCacheOptions {
  std::int64_t num_tokens = 0;   // room for this many tokens in all sequences together
  std::int32_t block_size = 32;  // tokens in a block
  KvFormat format = KvFormat::kF32;
};

/// Owns the memory, planned at the start; sequences own blocks of it (SequenceBlocks).
class KvCache {
 public:
  KvCache(Backend& backend, const MiniMaxM2Config& config, const KvCacheOptions& options);

  [[nodiscard]] BlockAllocator& allocator() { return allocator_; }
  [[nodiscard]] std::int32_t block_size() const { return block_size_; }
  [[nodiscard]] std::int64_t num_tokens() const {
    return std::int64_t{allocator_.num_blocks()} * block_size_;
  }
  [[nodiscard]] KvCacheView layer(std::size_t layer) const;

 private:
  std::int32_t block_size_;
  KvFormat format_;
  BlockAllocator allocator_;
  std::vector<Tensor> keys_;    // L of [P, Nkv, B, D]
  std::vector<Tensor> values_;  // the same
};

}  // namespace m2
