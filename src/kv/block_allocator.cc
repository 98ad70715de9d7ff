#include "kv/block_allocator.h"

#include "base/error.h"

namespace m2 {

BlockAllocator::BlockAllocator(std::int32_t num_blocks) {
  M2_CHECK(num_blocks >= 0, "negative number of blocks");
  used_.resize(static_cast<std::size_t>(num_blocks), false);
  free_.reserve(used_.size());
  for (std::int32_t block = num_blocks - 1; block >= 0; --block) free_.push_back(block);
}

std::optional<std::int32_t> BlockAllocator::allocate() {
  if (free_.empty()) return std::nullopt;
  const std::int32_t block = free_.back();
  free_.pop_back();
  used_[static_cast<std::size_t>(block)] = true;
  return block;
}

void BlockAllocator::release(std::int32_t block) {
  const auto index = static_cast<std::size_t>(block);
  M2_CHECK(block >= 0 && index < used_.size() && used_[index], "block ", block, " is not taken");
  used_[index] = false;
  free_.push_back(block);
}

}  // namespace m2
