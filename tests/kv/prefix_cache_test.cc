#include "kv/prefix_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <vector>

#include "base/error.h"

namespace m2 {
namespace {

using Ids = std::vector<std::int32_t>;

TEST(BlockAllocator, KeptBlocksStayIdleAndGoLongestIdleFirst) {
  BlockAllocator allocator(3);
  for (int i = 0; i < 3; ++i) allocator.keep(*allocator.allocate());
  for (const std::int32_t block : {1, 0, 2}) allocator.release(block);
  EXPECT_EQ(allocator.num_free(), 3);
  allocator.share(0);
  EXPECT_EQ(allocator.num_owners(0), 1);
  EXPECT_EQ(allocator.num_free(), 2);
  allocator.release(0);
  for (const std::int32_t block : {1, 2, 0}) {
    EXPECT_TRUE(allocator.is_kept(block));
    EXPECT_EQ(allocator.allocate(), block);
    EXPECT_FALSE(allocator.is_kept(block));
  }
  EXPECT_FALSE(allocator.allocate().has_value());
  allocator.release(1);
  EXPECT_THROW(allocator.share(1), Error);
  EXPECT_THROW(allocator.keep(1), Error);
}

TEST(PrefixCache, BlocksThatNobodyNamedGoFirst) {
  BlockAllocator allocator(4);
  PrefixCache cache(allocator, 2);
  {
    SequenceBlocks blocks(allocator, 2);
    ASSERT_TRUE(blocks.reserve(6));
    PrefixCursor cursor;
    cache.publish(Ids{7, 8, 9, 1, 2}, blocks, cursor);
    EXPECT_EQ(cursor.num_blocks, 2);
  }
  EXPECT_EQ(allocator.num_free(), 4);
  SequenceBlocks other(allocator, 2);
  ASSERT_TRUE(other.reserve(4));
  SequenceBlocks found(allocator, 2);
  EXPECT_EQ(cache.take(Ids{7, 8, 9, 1, 2}, found).num_blocks, 2);
}

TEST(PrefixCache, TheLastTokenIsLeft) {
  BlockAllocator allocator(4);
  PrefixCache cache(allocator, 2);
  SequenceBlocks blocks(allocator, 2);
  ASSERT_TRUE(blocks.reserve(6));
  PrefixCursor cursor;
  cache.publish(Ids{1, 2, 3, 4, 5, 6}, blocks, cursor);
  const auto found = [&](const Ids& ids) {
    SequenceBlocks taken(allocator, 2);
    return cache.take(ids, taken).num_blocks;
  };
  EXPECT_EQ(found({1}), 0);
  EXPECT_EQ(found({1, 2}), 0);
  EXPECT_EQ(found({1, 2, 3}), 1);
  EXPECT_EQ(found({1, 2, 3, 4}), 1);
  EXPECT_EQ(found({1, 2, 3, 4, 5, 6, 7}), 3);
  EXPECT_EQ(found({1, 2, 4, 3, 5, 6, 7}), 1);
  EXPECT_EQ(found({3, 4, 5, 6, 7}), 0);
}

TEST(PrefixCache, EqualBlocksBecomeOne) {
  BlockAllocator allocator(4);
  PrefixCache cache(allocator, 2);
  SequenceBlocks first(allocator, 2);
  SequenceBlocks second(allocator, 2);
  ASSERT_TRUE(first.reserve(4) && second.reserve(4));
  PrefixCursor first_cursor;
  PrefixCursor second_cursor;
  cache.publish(Ids{1, 2, 3, 4}, first, first_cursor);
  cache.publish(Ids{1, 2, 3, 5}, second, second_cursor);
  EXPECT_EQ(first.block_table()[0], second.block_table()[0]);
  EXPECT_NE(first.block_table()[1], second.block_table()[1]);
  EXPECT_EQ(allocator.num_owners(first.block_table()[0]), 2);
  EXPECT_EQ(allocator.num_free(), 1);
}

// Random sequences over few tokens, with memory of their own: what a block holds is the text up to
// its end. Against it, what take() hands out.
TEST(PrefixCache, HandsOutWhatTheTextBeginsWith) {
  constexpr std::int32_t kBlockSize = 2;
  constexpr std::int32_t kNumBlocks = 24;
  BlockAllocator allocator(kNumBlocks);
  PrefixCache cache(allocator, kBlockSize);
  std::map<std::int32_t, Ids> memory;
  struct Text {
    Ids ids;
    SequenceBlocks blocks;
    PrefixCursor cursor;
  };
  std::map<int, Text> texts;
  std::mt19937 random(11);
  std::int64_t num_found = 0;
  for (int step = 0; step < 20'000; ++step) {
    const int id = static_cast<int>(random() % 5);
    const auto held = texts.find(id);
    if (held == texts.end()) {
      Text text{.blocks = SequenceBlocks(allocator, kBlockSize)};
      for (auto n = 1 + random() % 12; n > 0; --n) text.ids.push_back(random() % 2);
      text.cursor = cache.take(text.ids, text.blocks);
      num_found += text.cursor.num_blocks;
      ASSERT_LT(text.cursor.num_blocks * kBlockSize, std::ssize(text.ids));
      for (std::int64_t i = 0; i < text.cursor.num_blocks; ++i) {
        const Ids prefix(text.ids.begin(), text.ids.begin() + (i + 1) * kBlockSize);
        ASSERT_EQ(memory[text.blocks.block_table()[static_cast<std::size_t>(i)]], prefix);
      }
      texts.emplace(id, std::move(text));
    } else if (random() % 3 == 0) {
      texts.erase(held);
    } else {
      Text& text = held->second;
      if (!text.blocks.reserve(std::ssize(text.ids))) continue;
      for (std::int64_t i = text.cursor.num_blocks; i < std::ssize(text.ids) / kBlockSize; ++i) {
        memory[text.blocks.block_table()[static_cast<std::size_t>(i)]] =
            Ids(text.ids.begin(), text.ids.begin() + (i + 1) * kBlockSize);
      }
      cache.publish(text.ids, text.blocks, text.cursor);
      text.ids.push_back(random() % 2);
    }
    std::set<std::int32_t> taken;
    for (const auto& [other, text] : texts) {
      taken.insert(text.blocks.block_table().begin(), text.blocks.block_table().end());
    }
    ASSERT_EQ(std::ssize(taken) + allocator.num_free(), kNumBlocks);
  }
  EXPECT_GT(num_found, 1000);
}

}  // namespace
}  // namespace m2
