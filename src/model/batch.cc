#include "model/batch.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace m2 {

void Batch::clear() {
  token_ids.clear();
  position_ids.clear();
  slot_mapping.clear();
  cu_seqlens.assign(1, 0);
  context_lens.clear();
  block_tables.clear();
  key_mask.clear();
  pending_.clear();
  max_blocks = 0;
  mask_stride = 0;
}

void Batch::add(const BatchEntry& entry) {
  const auto count = static_cast<std::int32_t>(entry.token_ids.size());
  M2_CHECK(entry.position_ids.size() == entry.token_ids.size(), "batch: ", count, " tokens, ",
           entry.position_ids.size(), " positions");
  const std::int32_t context_len = entry.num_cached_tokens + count;
  M2_CHECK(entry.key_mask.empty() || std::cmp_equal(entry.key_mask.size(), context_len),
           "batch: key_mask of ", entry.key_mask.size(), " for a context of ", context_len);
  token_ids.insert(token_ids.end(), entry.token_ids.begin(), entry.token_ids.end());
  position_ids.insert(position_ids.end(), entry.position_ids.begin(), entry.position_ids.end());
  for (std::int32_t i = 0; i < count; ++i) {
    slot_mapping.push_back(entry.blocks->slot(entry.num_cached_tokens + i));
  }
  cu_seqlens.push_back(cu_seqlens.back() + count);
  context_lens.push_back(context_len);
  pending_.push_back({entry.blocks, entry.key_mask});
}

void Batch::finish() {
  bool masked = false;
  for (std::size_t s = 0; s < pending_.size(); ++s) {
    const auto blocks = static_cast<std::int64_t>(pending_[s].blocks->block_table().size());
    max_blocks = std::max(max_blocks, blocks);
    mask_stride = std::max<std::int64_t>(mask_stride, context_lens[s]);
    masked = masked || std::ranges::count(pending_[s].key_mask, 0) > 0;
  }
  block_tables.assign(pending_.size() * static_cast<std::size_t>(max_blocks), -1);
  if (masked) key_mask.assign(pending_.size() * static_cast<std::size_t>(mask_stride), 1);
  for (std::size_t s = 0; s < pending_.size(); ++s) {
    std::ranges::copy(pending_[s].blocks->block_table(),
                      block_tables.begin() + static_cast<std::ptrdiff_t>(s) * max_blocks);
    if (masked) {
      std::ranges::copy(pending_[s].key_mask,
                        key_mask.begin() + static_cast<std::ptrdiff_t>(s) * mask_stride);
    }
  }
}

}  // namespace m2
