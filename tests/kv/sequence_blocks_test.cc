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

TEST(SequenceBlocks, WritingSeparatesSharedBlocks) {
  BlockAllocator allocator(7);
  SequenceBlocks first(allocator, 4);
  ASSERT_TRUE(first.reserve(14));  // four blocks, the last one half full
  SequenceBlocks second = first.fork();
  EXPECT_EQ(allocator.num_free(), 3);
  EXPECT_TRUE(second.writable(2, 2)->empty());
  // Block 1 in part, block 2 wholly.
  const auto copies = second.writable(6, 12);
  ASSERT_TRUE(copies.has_value());
  ASSERT_EQ(copies->size(), 1U);
  EXPECT_EQ((*copies)[0].from, first.block_table()[1]);
  EXPECT_EQ((*copies)[0].to, second.block_table()[1]);
  EXPECT_EQ(second.block_table()[0], first.block_table()[0]);
  EXPECT_NE(second.block_table()[2], first.block_table()[2]);
  EXPECT_EQ(second.block_table()[3], first.block_table()[3]);
  EXPECT_TRUE(second.writable(6, 12)->empty());
  // Two blocks are still shared, one is free: nothing happens.
  EXPECT_FALSE(second.writable(0, 14).has_value());
  EXPECT_EQ(second.block_table()[0], first.block_table()[0]);
  EXPECT_THROW((void)second.writable(0, 17), Error);
}

TEST(BlockAllocator, SharedBlocksAreFreeAfterTheLastRelease) {
  BlockAllocator allocator(1);
  const auto block = allocator.allocate();
  allocator.share(*block);
  EXPECT_EQ(allocator.num_owners(*block), 2);
  allocator.release(*block);
  EXPECT_EQ(allocator.num_free(), 0);
  allocator.release(*block);
  EXPECT_EQ(allocator.num_free(), 1);
  EXPECT_THROW(allocator.share(*block), Error);
  allocator.grow(3);
  EXPECT_EQ(allocator.allocate(), 0);
  EXPECT_EQ(allocator.allocate(), 1);
  EXPECT_THROW(allocator.grow(2), Error);
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
