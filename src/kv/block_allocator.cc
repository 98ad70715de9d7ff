#include "kv/block_allocator.h"

#include <utility>

#include "base/error.h"

namespace m2 {

BlockAllocator::BlockAllocator(std::int32_t num_blocks) { grow(num_blocks); }

std::optional<std::int32_t> BlockAllocator::next_free() {
  if (free_.empty()) return idle_.pop_front();
  const std::int32_t block = free_.back();
  free_.pop_back();
  return block;
}

std::optional<std::int32_t> BlockAllocator::allocate() {
  const std::optional<std::int32_t> block = next_free();
  if (!block) return std::nullopt;
  owners_[static_cast<std::size_t>(*block)] = 1;
  kept_[static_cast<std::size_t>(*block)] = 0;
  return block;
}

void BlockAllocator::keep(std::int32_t block) {
  check_taken(block);
  kept_[static_cast<std::size_t>(block)] = 1;
}

bool BlockAllocator::is_kept(std::int32_t block) const {
  M2_CHECK(block >= 0 && block < num_blocks(), "there is no block ", block);
  return kept_[static_cast<std::size_t>(block)] != 0;
}

void BlockAllocator::share(std::int32_t block) {
  if (is_kept(block) && num_owners(block) == 0) {
    idle_.remove(block);
  } else {
    check_taken(block);
  }
  ++owners_[static_cast<std::size_t>(block)];
}

void BlockAllocator::release(std::int32_t block) {
  check_taken(block);
  if (--owners_[static_cast<std::size_t>(block)] > 0) return;
  if (is_kept(block)) {
    idle_.push_back(block);
  } else {
    free_.push_back(block);
  }
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
  kept_.resize(static_cast<std::size_t>(num_blocks), 0);
  idle_.grow(num_blocks);
  free_ = std::move(free);
}

void BlockAllocator::check_taken(std::int32_t block) const {
  M2_CHECK(num_owners(block) > 0, "block ", block, " is not taken");
}

}  // namespace m2
