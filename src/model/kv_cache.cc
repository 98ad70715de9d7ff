#include "model/kv_cache.h"

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

KvCache::KvCache(Backend& backend, const MiniMaxM2Config& config, const KvCacheOptions& options)
    : block_size_(options.block_size), format_(options.format), allocator_(count_blocks(options)) {
  const Shape shape = {allocator_.num_blocks(), config.num_key_value_heads, block_size_,
                       config.head_dim};
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    keys_.push_back(backend.allocate(storage_dtype(format_), shape));
    values_.push_back(backend.allocate(storage_dtype(format_), shape));
  }
}

KvCacheView KvCache::layer(std::size_t layer) const {
  return {.keys = keys_[layer].view(), .values = values_[layer].view(), .format = format_};
}

}  // namespace m2
