#include "model/cache_impl.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

std::vector<SequenceBlocks> gathered(const std::vector<SequenceBlocks>& rows,
                                     std::span<const std::int64_t> from) {
  std::vector<SequenceBlocks> result;
  if (rows.empty()) return result;
  for (const std::int64_t row : from) result.push_back(rows[static_cast<std::size_t>(row)].fork());
  return result;
}

}  // namespace

std::int64_t Cache::Impl::seq_length() const {
  return is_static() ? std::ranges::count(written, true) : length;
}

void Cache::Impl::bind(const MiniMaxM2Config& model, const Placement& where,
                       std::int64_t num_rows) {
  const bool bound = kv_cache != nullptr;
  if (bound) {
    M2_REQUIRE(ErrorCode::kInvalidArgument,
               where == placement && model.num_key_value_heads == config.num_key_value_heads &&
                   model.head_dim == config.head_dim &&
                   model.num_hidden_layers <= config.num_hidden_layers,
               "past_key_values: the cache belongs to another model");
    if (num_rows == batch_size()) return;
    M2_REQUIRE(ErrorCode::kInvalidArgument, seq_length() == 0, "past_key_values: the cache holds ",
               batch_size(), " rows, the input has ", num_rows);
  }
  config = model;
  placement = where;
  rebuild(num_rows);
}

// Empty memory for `num_rows` rows: all of it for a static cache, none for one that grows.
void Cache::Impl::rebuild(std::int64_t num_rows) {
  rows.clear();
  quantized_rows.clear();
  kv_cache.reset();
  pool.reset();
  const std::int64_t row_tokens =
      is_static() ? SequenceBlocks::blocks_for(options.capacity, kBlockSize) * kBlockSize : 0;
  kv_cache = std::make_unique<KvCache>(placement, config,
                                       KvCacheOptions{.num_tokens = num_rows * row_tokens,
                                                      .block_size = kBlockSize,
                                                      .one_pass = options.one_pass,
                                                      .offloading = options.offloading});
  for (std::int64_t row = 0; row < num_rows; ++row) {
    SequenceBlocks& blocks = rows.emplace_back(kv_cache->allocator(), kBlockSize);
    M2_CHECK(blocks.reserve(row_tokens), "the cache has room for every row");
  }
  if (options.bits > 0) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, config.head_dim % options.group_size == 0,
               "QuantizedCache: q_group_size ", options.group_size, " does not divide head_dim ",
               config.head_dim);
    pool = std::make_unique<QuantizedPool>(
        QuantizedPoolOptions{.num_layers = static_cast<std::int64_t>(placement.layers.size()),
                             .block = {config.num_key_value_heads, kBlockSize, config.head_dim},
                             .bits = options.bits,
                             .group_size = options.group_size});
    kv_cache->attach(*pool);
    for (std::int64_t row = 0; row < num_rows; ++row) {
      quantized_rows.emplace_back(pool->allocator(), kBlockSize);
    }
  }
  length = 0;
  written.assign(is_static() ? static_cast<std::size_t>(options.capacity) : 0, false);
}

void Cache::Impl::prepare(const ForwardPlan& plan) {
  if (is_static()) {
    for (const std::int64_t position : plan.cache_position) make_writable(position, position + 1);
    return;
  }
  const std::int64_t first = length - num_quantized_tokens();
  const std::int64_t end = first + plan.sequence_length;
  const std::int64_t row_blocks = SequenceBlocks::blocks_for(end, kBlockSize);
  ensure_free_blocks(batch_size() * (row_blocks - SequenceBlocks::blocks_for(first, kBlockSize)));
  for (SequenceBlocks& row : rows) M2_CHECK(row.reserve(end), "the cache has grown enough");
  make_writable(first, end);
}

// Grows by doubling, so that appending a token costs a constant number of copies in all.
void Cache::Impl::ensure_free_blocks(std::int64_t count) {
  const std::int64_t missing = count - kv_cache->allocator().num_free();
  if (missing <= 0) return;
  const std::int64_t held = kv_cache->allocator().num_blocks();
  kv_cache->grow((held + std::max(missing, held)) * kBlockSize);
}

// Gives every row blocks of its own for the tokens `first` .. `end` - 1.
void Cache::Impl::make_writable(std::int64_t first, std::int64_t end) {
  for (SequenceBlocks& row : rows) {
    auto copies = row.writable(first, end);
    if (!copies) {
      ensure_free_blocks(SequenceBlocks::blocks_for(end, kBlockSize) - first / kBlockSize);
      copies = row.writable(first, end);
    }
    M2_CHECK(copies.has_value(), "the cache has grown enough");
    for (const auto& [from, to] : *copies) kv_cache->copy_block(from, to);
  }
}

void Cache::Impl::commit(const ForwardPlan& plan) {
  if (!is_static()) {
    length += plan.sequence_length;
    if (pool) quantize_old();
    return;
  }
  for (const std::int64_t position : plan.cache_position) {
    written[static_cast<std::size_t>(position)] = true;
  }
}

void Cache::Impl::gather_rows(std::span<const std::int64_t> from) {
  quantized_rows = gathered(quantized_rows, from);
  rows = gathered(rows, from);
}

void Cache::Impl::truncate(std::int64_t kept) {
  if (kept < num_quantized_tokens()) {
    make_exact(kept);
  } else {
    for (SequenceBlocks& row : rows) row.truncate(kept - num_quantized_tokens());
  }
  length = kept;
}

void Cache::Impl::reset() {
  if (kv_cache == nullptr) return;
  if (is_static()) {
    rebuild(batch_size());  // its unwritten slots have to be zero
    return;
  }
  truncate(0);
}

}  // namespace m2
