#include "kv/block_allocator.h"

#include <utility>

#include "base/error.h"

namespace m2 {

BlockAllocator::BlockAllocator(std::int32_t num_blocks) { grow(num_blocks); }

std::optional<std::int32_t> BlockAllocator::allocate() {
  if (free_.empty()) return std::nullopt;
  const std::int32_t block = free_.back();
  free_.pop_back();
  owners_[static_cast<std::size_t>(block)] = 1;
  return block;
}

void BlockAllocator::share(std::int32_t block) {
  check_taken(block);
  ++owners_[static_cast<std::size_t>(block)];
}

void BlockAllocator::release(std::int32_t block) {
  check_taken(block);
  if (--owners_[static_cast<std::size_t>(block)] == 0) free_.push_back(block);
}

std::int32_t BlockAllocator::num_owners(std::int32_t block) const {
  M2_CHECK(block >= 0 && block < num_blocks(), "there is no block ", block);
  return owners_[static_cast<std::size_t>(block)];
}

void BlockAllocator::grow(std::int32_t num_blocks) {
  M2_CHECK(num_blocks >= this->num_blocks(), "blocks cannot become fewer: ", this->num_blocks(),
           " to ", num_blocks);
  std::vector<std::int32_t> free;
  free.reserve(static_cast<std::size_t>(num_blocks));
  for (std::int32_t block = num_blocks - 1; block >= this->num_blocks(); --block) {
    free.push_back(block);
  }
  free.insert(free.end(), free_.begin(), free_.end());
  owners_.resize(static_cast<std::size_t>(num_blocks), 0);
  free_ = std::move(free);
}

void BlockAllocator::check_taken(std::int32_t block) const {
  M2_CHECK(num_owners(block) > 0, "block ", block, " is not taken");
}

}  // namespace m2
