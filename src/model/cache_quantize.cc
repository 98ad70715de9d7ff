// The quantised part of a cache: whole blocks go there when the tokens behind them suffice for the
// exact end.
#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "model/cache_impl.h"

namespace m2 {

std::int64_t Cache::Impl::num_quantized_tokens() const {
  if (quantized_rows.empty()) return 0;
  return static_cast<std::int64_t>(quantized_rows[0].block_table().size()) * kBlockSize;
}

std::vector<std::int32_t> Cache::Impl::blocks_of(std::size_t row) const {
  std::vector<std::int32_t> blocks;
  if (pool) {
    for (const std::int32_t block : quantized_rows[row].block_table()) {
      blocks.push_back(kFirstQuantizedBlock + block);
    }
  }
  const auto exact = rows[row].block_table();
  blocks.insert(blocks.end(), exact.begin(), exact.end());
  return blocks;
}

void Cache::Impl::quantize_old() {
  const std::int64_t old = std::max<std::int64_t>(length - options.residual_length, 0);
  const std::int64_t count = old / kBlockSize - num_quantized_tokens() / kBlockSize;
  if (count <= 0) return;
  for (std::int64_t i = 0; i < count; ++i) {
    std::map<std::int32_t, std::int32_t> done;  // rows that share a block go on sharing it
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const std::int32_t block = rows[row].block_table()[static_cast<std::size_t>(i)];
      const auto [entry, is_new] = done.try_emplace(block, -1);
      if (is_new) {
        entry->second = quantize_block(block);
      } else {
        pool->allocator().share(entry->second);
      }
      quantized_rows[row].adopt(entry->second);
    }
  }
  for (SequenceBlocks& row : rows) row.drop_front(count);
  release_memory();
}

std::int32_t Cache::Impl::quantize_block(std::int32_t block) {
  const std::int32_t to = pool->take();
  const Shape shape = {config.num_key_value_heads, kBlockSize, config.head_dim};
  const Tensor keys(DType::kF32, shape);
  const Tensor values(DType::kF32, shape);
  for (std::size_t layer = 0; layer < placement.layers.size(); ++layer) {
    kv_cache->read_block(layer, block, KvPart::kKeys, keys.view());
    kv_cache->read_block(layer, block, KvPart::kValues, values.view());
    pool->store(layer, to, keys.view(), values.view());
  }
  return to;
}

// After a long prompt most exact blocks are free: the few that are held move to a small cache.
void Cache::Impl::release_memory() {
  const std::int64_t exact = length - num_quantized_tokens();
  const std::int64_t needed = batch_size() * SequenceBlocks::blocks_for(exact, kBlockSize);
  constexpr std::int64_t kSlack = 4;  // as many blocks as are needed, four times
  if (kv_cache->allocator().num_blocks() <= kSlack * std::max<std::int64_t>(needed, kSlack)) return;
  auto smaller = std::make_unique<KvCache>(
      placement, config,
      KvCacheOptions{.num_tokens = 2 * needed * kBlockSize, .block_size = kBlockSize});
  smaller->attach(*pool);
  std::vector<SequenceBlocks> moved;
  const Tensor block(DType::kF32, {config.num_key_value_heads, kBlockSize, config.head_dim});
  for (const SequenceBlocks& row : rows) {
    SequenceBlocks& to = moved.emplace_back(smaller->allocator(), kBlockSize);
    M2_CHECK(to.reserve(exact), "the smaller cache has room for every row");
    for (std::size_t i = 0; i < to.block_table().size(); ++i) {
      for (std::size_t layer = 0; layer < placement.layers.size(); ++layer) {
        for (const KvPart part : {KvPart::kKeys, KvPart::kValues}) {
          kv_cache->read_block(layer, row.block_table()[i], part, block.view());
          smaller->write_block(layer, to.block_table()[i], part, block.view());
        }
      }
    }
  }
  rows = std::move(moved);
  kv_cache = std::move(smaller);
}

// Cuts inside the quantised part: what is kept of the block at the cut becomes exact numbers.
void Cache::Impl::make_exact(std::int64_t kept) {
  const std::int64_t whole = kept / kBlockSize;
  const std::int64_t rest = kept % kBlockSize;
  for (SequenceBlocks& row : rows) row.truncate(0);
  if (rest > 0) ensure_free_blocks(batch_size());
  const Tensor block(DType::kF32, {config.num_key_value_heads, kBlockSize, config.head_dim});
  for (std::size_t row = 0; row < rows.size(); ++row) {
    M2_CHECK(rows[row].reserve(rest), "the cache has grown enough");
    for (std::size_t layer = 0; rest > 0 && layer < placement.layers.size(); ++layer) {
      const std::int32_t from =
          kFirstQuantizedBlock + quantized_rows[row].block_table()[static_cast<std::size_t>(whole)];
      for (const KvPart part : {KvPart::kKeys, KvPart::kValues}) {
        kv_cache->read_block(layer, from, part, block.view());
        kv_cache->write_block(layer, rows[row].block_table()[0], part, block.view());
      }
    }
    quantized_rows[row].truncate(whole * kBlockSize);
  }
}

}  // namespace m2
