#include "kv/sequence_blocks.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "base/error.h"

namespace m2 {
namespace {

TEST(BlockAllocator, GivesEveryBlockOnceAndTakesItBack) {
  BlockAllocator allocator(3);
  std::set<std::int32_t> blocks;
  while (const auto block = allocator.allocate()) blocks.insert(*block);
  EXPECT_EQ(blocks, (std::set<std::int32_t>{0, 1, 2}));
  allocator.release(1);
  EXPECT_EQ(allocator.allocate(), 1);
  EXPECT_THROW(allocator.release(3), Error);
  allocator.release(0);
  EXPECT_THROW(allocator.release(0), Error);
}

TEST(SequenceBlocks, ReserveIsAllOrNothing) {
  BlockAllocator allocator(4);
  SequenceBlocks first(allocator, 2);
  EXPECT_TRUE(first.reserve(5));
  EXPECT_EQ(first.block_table().size(), 3U);
  SequenceBlocks second(allocator, 2);
  EXPECT_FALSE(second.reserve(3));
  EXPECT_TRUE(second.block_table().empty());
  EXPECT_EQ(allocator.num_free(), 1);
  EXPECT_THROW((void)first.slot(6), Error);
}

// Random operations against a naive map from (sequence, token) to slot.
TEST(SequenceBlocks, SlotsNeverCollide) {
  constexpr std::int32_t kBlockSize = 4;
  BlockAllocator allocator(32);
  std::mt19937 random(7);
  std::map<int, SequenceBlocks> sequences;
  std::map<int, std::int64_t> lengths;
  for (int step = 0; step < 2000; ++step) {
    const int id = static_cast<int>(random() % 6);
    auto& blocks = sequences.try_emplace(id, allocator, kBlockSize).first->second;
    switch (random() % 4) {
      case 0:
        sequences.erase(id);
        lengths[id] = 0;
        break;
      case 1:
        lengths[id] = std::min<std::int64_t>(lengths[id], random() % 20);
        blocks.truncate(lengths[id]);
        break;
      default: {
        const std::int64_t wanted = lengths[id] + static_cast<std::int64_t>(random() % 9);
        if (blocks.reserve(wanted)) lengths[id] = wanted;
      }
    }
    std::set<std::int64_t> slots;
    std::int64_t tokens = 0;
    std::int64_t taken = 0;
    for (const auto& [sequence, table] : sequences) {
      tokens += lengths[sequence];
      taken += static_cast<std::int64_t>(table.block_table().size());
      for (std::int64_t i = 0; i < lengths[sequence]; ++i) slots.insert(table.slot(i));
    }
    ASSERT_EQ(static_cast<std::int64_t>(slots.size()), tokens);
    ASSERT_EQ(taken + allocator.num_free(), allocator.num_blocks());
  }
}

TEST(SequenceBlocks, MoveHandsOverTheBlocks) {
  BlockAllocator allocator(2);
  {
    SequenceBlocks first(allocator, 1);
    ASSERT_TRUE(first.reserve(2));
    SequenceBlocks second = std::move(first);
    EXPECT_EQ(second.block_table().size(), 2U);
  }
  EXPECT_EQ(allocator.num_free(), 2);
}

}  // namespace
}  // namespace m2
