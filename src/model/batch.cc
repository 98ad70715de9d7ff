#include "model/batch.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"
#include "ops/quantized_blocks.h"

namespace m2 {
namespace {

void check_count(const char* name, std::size_t got, std::int64_t expected) {
  M2_CHECK(got == 0 || std::cmp_equal(got, expected), "batch: ", name, " of ", got, " for ",
           expected, " tokens");
}

std::span<const std::int32_t> table_of(const SequenceBlocks* blocks) {
  return blocks == nullptr ? std::span<const std::int32_t>() : blocks->block_table();
}

std::int64_t num_blocks_of(const SequenceBlocks* blocks) {
  return static_cast<std::int64_t>(table_of(blocks).size());
}

// Tokens before the first of entry.blocks.
std::int64_t num_quantized_tokens(const BatchEntry& entry) {
  return num_blocks_of(entry.quantized_blocks) * entry.blocks->block_size();
}

}  // namespace

void Batch::clear() {
  token_ids.clear();
  inputs_embeds.clear();
  position_ids.clear();
  slot_mapping.clear();
  key_begin.clear();
  key_end.clear();
  cu_seqlens.assign(1, 0);
  context_lens.clear();
  block_tables.clear();
  key_mask.clear();
  pending_.clear();
  max_blocks = 0;
  max_context_len = 0;
  max_queries = 0;
}

void Batch::plan(std::int64_t num_tokens, std::int64_t num_seqs, std::int64_t table_blocks) {
  const auto tokens = static_cast<std::size_t>(num_tokens);
  const auto seqs = static_cast<std::size_t>(num_seqs);
  token_ids.reserve(tokens);
  position_ids.reserve(tokens);
  slot_mapping.reserve(tokens);
  key_begin.reserve(tokens);
  key_end.reserve(tokens);
  cu_seqlens.reserve(seqs + 1);
  context_lens.reserve(seqs);
  pending_.reserve(seqs);
  block_tables.reserve(seqs * static_cast<std::size_t>(table_blocks));
}

void Batch::add(const BatchEntry& entry) {
  const auto count = static_cast<std::int32_t>(entry.position_ids.size());
  check_count("token_ids", entry.token_ids.size(), count);
  check_count("cache_positions", entry.cache_positions.size(), count);
  check_count("key_begin", entry.key_begin.size(), count);
  check_count("key_end", entry.key_end.size(), count);
  M2_CHECK(count == 0 || entry.token_ids.empty() != entry.inputs_embeds.empty(),
           "batch: expected either token ids or embeddings for ", count, " tokens");
  const std::int32_t context_len = entry.context_len.value_or(entry.num_cached_tokens + count);
  M2_CHECK(entry.key_mask.empty() || std::cmp_equal(entry.key_mask.size(), context_len),
           "batch: key_mask of ", entry.key_mask.size(), " for a context of ", context_len);
  const std::int64_t exact = context_len - num_quantized_tokens(entry);
  if (exact > 0) (void)entry.blocks->slot(exact - 1);  // throws without room
  add_tokens(entry, context_len);
  if (!entry.inputs_embeds.empty()) inputs_embeds.push_back(entry.inputs_embeds);
  cu_seqlens.push_back(cu_seqlens.back() + count);
  context_lens.push_back(context_len);
  pending_.push_back({entry.blocks, entry.quantized_blocks, entry.key_mask});
  max_context_len = std::max<std::int64_t>(max_context_len, context_len);
  max_queries = std::max<std::int64_t>(max_queries, count);
}

void Batch::add_tokens(const BatchEntry& entry, std::int32_t context_len) {
  token_ids.insert(token_ids.end(), entry.token_ids.begin(), entry.token_ids.end());
  position_ids.insert(position_ids.end(), entry.position_ids.begin(), entry.position_ids.end());
  for (std::size_t i = 0; i < entry.position_ids.size(); ++i) {
    const std::int64_t index = entry.cache_positions.empty()
                                   ? entry.num_cached_tokens + static_cast<std::int64_t>(i)
                                   : entry.cache_positions[i];
    const std::int64_t begin = entry.key_begin.empty() ? 0 : entry.key_begin[i];
    const std::int64_t end = entry.key_end.empty() ? index + 1 : entry.key_end[i];
    M2_CHECK(begin >= 0 && end <= context_len, "batch: token ", i, " sees the keys ", begin, " to ",
             end, " of ", context_len);
    slot_mapping.push_back(entry.blocks->slot(index - num_quantized_tokens(entry)));
    key_begin.push_back(static_cast<std::int32_t>(begin));
    key_end.push_back(static_cast<std::int32_t>(end));
  }
}

void Batch::finish() {
  M2_CHECK(token_ids.empty() || inputs_embeds.empty(), "batch: token ids and embeddings are mixed");
  bool masked = false;
  for (const Pending& pending : pending_) {
    max_blocks = std::max(max_blocks,
                          num_blocks_of(pending.blocks) + num_blocks_of(pending.quantized_blocks));
    masked = masked || std::ranges::count(pending.key_mask, 0) > 0;
  }
  // Few different sizes: a device may record what it does with tables of one size.
  max_blocks = static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(max_blocks)));
  block_tables.assign(pending_.size() * static_cast<std::size_t>(max_blocks), -1);
  if (masked) fill_key_mask();
  for (std::size_t s = 0; s < pending_.size(); ++s) {
    auto to = block_tables.begin() + static_cast<std::ptrdiff_t>(s) * max_blocks;
    for (const std::int32_t block : table_of(pending_[s].quantized_blocks)) {
      *to++ = kFirstQuantizedBlock + block;
    }
    std::ranges::copy(pending_[s].blocks->block_table(), to);
  }
}

void Batch::fill_key_mask() {
  const std::size_t size = pending_.size() * static_cast<std::size_t>(max_context_len);
  if (size > key_mask.capacity()) key_mask.reserve(2 * size);  // it grows with every token
  key_mask.assign(size, 1);
  for (std::size_t s = 0; s < pending_.size(); ++s) {
    std::ranges::copy(pending_[s].key_mask,
                      key_mask.begin() + static_cast<std::ptrdiff_t>(s) * max_context_len);
  }
}

}  // namespace m2
