#include "kv/sequence_blocks.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace m2 {

SequenceBlocks::SequenceBlocks(BlockAllocator& allocator, std::int32_t block_size)
    : allocator_(&allocator), block_size_(block_size) {
  M2_CHECK(block_size > 0, "block_size ", block_size);
}

SequenceBlocks::~SequenceBlocks() { release_from(0); }

SequenceBlocks::SequenceBlocks(SequenceBlocks&& other) noexcept
    : allocator_(other.allocator_),
      block_size_(other.block_size_),
      blocks_(std::exchange(other.blocks_, {})) {}

SequenceBlocks& SequenceBlocks::operator=(SequenceBlocks&& other) noexcept {
  std::swap(allocator_, other.allocator_);
  std::swap(block_size_, other.block_size_);
  std::swap(blocks_, other.blocks_);
  return *this;
}

std::int64_t SequenceBlocks::blocks_for(std::int64_t num_tokens, std::int32_t block_size) {
  return (num_tokens + block_size - 1) / block_size;
}

std::int64_t SequenceBlocks::num_missing(std::int64_t num_tokens) const {
  const std::int64_t missing =
      blocks_for(num_tokens, block_size_) - static_cast<std::int64_t>(blocks_.size());
  return std::max<std::int64_t>(missing, 0);
}

void SequenceBlocks::plan_table(std::int64_t num_tokens) {
  blocks_.reserve(static_cast<std::size_t>(blocks_for(num_tokens, block_size_)));
}

bool SequenceBlocks::reserve(std::int64_t num_tokens) {
  const std::int64_t missing = num_missing(num_tokens);
  if (missing > allocator_->num_free()) return false;
  for (std::int64_t i = 0; i < missing; ++i) blocks_.push_back(*allocator_->allocate());
  return true;
}

void SequenceBlocks::truncate(std::int64_t num_tokens) {
  release_from(static_cast<std::size_t>(blocks_for(num_tokens, block_size_)));
}

SequenceBlocks SequenceBlocks::fork() const {
  SequenceBlocks other(*allocator_, block_size_);
  other.blocks_ = blocks_;
  for (const std::int32_t block : blocks_) allocator_->share(block);
  return other;
}

std::optional<std::vector<BlockCopy>> SequenceBlocks::writable(std::int64_t first,
                                                               std::int64_t last) {
  M2_CHECK(first >= 0 && first <= last, "tokens ", first, " to ", last);
  if (first == last) return std::vector<BlockCopy>();
  const auto begin = static_cast<std::size_t>(first / block_size_);
  const auto end = static_cast<std::size_t>(blocks_for(last, block_size_));
  M2_CHECK(end <= blocks_.size(), "token ", last - 1, " has no block");
  const auto shared = [&](std::int32_t block) { return allocator_->num_owners(block) > 1; };
  const auto missing = std::count_if(blocks_.begin() + static_cast<std::ptrdiff_t>(begin),
                                     blocks_.begin() + static_cast<std::ptrdiff_t>(end), shared);
  if (missing > allocator_->num_free()) return std::nullopt;
  std::vector<BlockCopy> copies;
  for (std::size_t i = begin; i < end; ++i) {
    if (!shared(blocks_[i])) continue;
    const std::int32_t from = blocks_[i];
    blocks_[i] = *allocator_->allocate();
    allocator_->release(from);
    const std::int64_t block_begin = static_cast<std::int64_t>(i) * block_size_;
    const bool overwritten = first <= block_begin && block_begin + block_size_ <= last;
    if (!overwritten) copies.push_back({from, blocks_[i]});
  }
  return copies;
}

void SequenceBlocks::replace(std::int64_t index, std::int32_t block) {
  M2_CHECK(index >= 0 && std::cmp_less(index, blocks_.size()), "block ", index, " of ",
           blocks_.size());
  std::int32_t& held = blocks_[static_cast<std::size_t>(index)];
  allocator_->share(block);
  allocator_->release(held);
  held = block;
}

void SequenceBlocks::drop_front(std::int64_t count) {
  M2_CHECK(count >= 0 && std::cmp_less_equal(count, blocks_.size()), count, " of ", blocks_.size(),
           " blocks");
  for (std::int64_t i = 0; i < count; ++i)
    allocator_->release(blocks_[static_cast<std::size_t>(i)]);
  blocks_.erase(blocks_.begin(), blocks_.begin() + count);
}

std::int64_t SequenceBlocks::slot(std::int64_t index) const {
  const auto block = static_cast<std::size_t>(index / block_size_);
  M2_CHECK(index >= 0 && block < blocks_.size(), "token ", index, " has no block");
  return std::int64_t{blocks_[block]} * block_size_ + index % block_size_;
}

void SequenceBlocks::release_from(std::size_t first) {
  while (blocks_.size() > first) {
    allocator_->release(blocks_.back());
    blocks_.pop_back();
  }
}

}  // namespace m2
