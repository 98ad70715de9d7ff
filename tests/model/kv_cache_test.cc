#include "model/kv_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "kv/sequence_blocks.h"
#include "ops/reference_backend.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

constexpr std::int32_t kBlockSize = 4;

// A mark in every layer of a token's slot, and all of them again.
void write(KvCache& cache, std::int64_t slot, float mark) {
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const KvCacheView view = cache.layer(layer);
    const Shape& shape = view.keys.shape;
    const std::int64_t row = slot / kBlockSize * shape[1] * kBlockSize + slot % kBlockSize;
    for (std::int64_t head = 0; head < shape[1]; ++head) {
      const std::int64_t index = (row + head * kBlockSize) * shape[3];
      view.keys.as<float>()[index] = mark + static_cast<float>(layer);
      view.values.as<float>()[index] = -mark - static_cast<float>(layer);
    }
  }
}

float read(const KvCache& cache, std::int64_t slot) {
  const KvCacheView first = cache.layer(0);
  const Shape& shape = first.keys.shape;
  const std::int64_t row = slot / kBlockSize * shape[1] * kBlockSize + slot % kBlockSize;
  const float mark = first.keys.as<float>()[row * shape[3]];
  for (std::size_t layer = 0; layer < 2; ++layer) {
    const KvCacheView view = cache.layer(layer);
    for (std::int64_t head = 0; head < shape[1]; ++head) {
      const std::int64_t index = (row + head * kBlockSize) * shape[3];
      EXPECT_EQ(view.keys.as<float>()[index], mark + static_cast<float>(layer));
      EXPECT_EQ(view.values.as<float>()[index], -mark - static_cast<float>(layer));
    }
  }
  return mark;
}

class Beams {
 public:
  void step(std::mt19937& random) {
    const int id = static_cast<int>(random() % 6);
    auto& blocks = sequences_.try_emplace(id, cache_.allocator(), kBlockSize).first->second;
    auto& marks = marks_[id];
    switch (random() % 5) {
      case 0:  // the beam follows another
        if (const auto other = sequences_.find(static_cast<int>(random() % 6));
            other != sequences_.end()) {
          marks = std::vector<float>(marks_[other->first]);
          blocks = other->second.fork();
        }
        break;
      case 1:
        marks.resize(std::min<std::size_t>(marks.size(), random() % 16));
        blocks.truncate(static_cast<std::int64_t>(marks.size()));
        break;
      case 2:
        overwrite(blocks, marks, random() % (marks.size() + 1));
        break;
      default:
        append(blocks, marks, random() % 7);
    }
  }

  void expect_marks() {
    std::map<std::int32_t, std::int32_t> owners;
    for (const auto& [id, blocks] : sequences_) {
      for (const std::int32_t block : blocks.block_table()) ++owners[block];
      for (std::size_t i = 0; i < marks_[id].size(); ++i) {
        ASSERT_EQ(read(cache_, blocks.slot(static_cast<std::int64_t>(i))), marks_[id][i]);
      }
    }
    for (const auto& [block, count] : owners) {
      ASSERT_EQ(cache_.allocator().num_owners(block), count);
    }
    ASSERT_EQ(static_cast<std::int32_t>(owners.size()) + cache_.allocator().num_free(),
              cache_.allocator().num_blocks());
  }

  [[nodiscard]] std::int64_t num_tokens() const { return cache_.num_tokens(); }

 private:
  void append(SequenceBlocks& blocks, std::vector<float>& marks, std::size_t count) {
    const std::size_t first = marks.size();
    const auto total = static_cast<std::int64_t>(first + count);
    if (total > 60) return;
    while (!blocks.reserve(total)) cache_.grow(2 * cache_.num_tokens());
    marks.resize(first + count);
    overwrite(blocks, marks, first);
  }

  // From `first` to the end.
  void overwrite(SequenceBlocks& blocks, std::vector<float>& marks, std::size_t first) {
    const auto begin = static_cast<std::int64_t>(first);
    const auto end = static_cast<std::int64_t>(marks.size());
    auto copies = blocks.writable(begin, end);
    while (!copies) {
      cache_.grow(2 * cache_.num_tokens());
      copies = blocks.writable(begin, end);
    }
    for (const BlockCopy& copy : *copies) cache_.copy_block(copy.from, copy.to);
    for (std::int64_t i = begin; i < end; ++i) {
      marks[static_cast<std::size_t>(i)] = next_mark_++;
      write(cache_, blocks.slot(i), marks[static_cast<std::size_t>(i)]);
    }
  }

  ReferenceBackend backend_;
  KvCache cache_{
      Placement::on(backend_, 2), test::tiny_config(), {.num_tokens = 5, .block_size = kBlockSize}};
  std::map<int, SequenceBlocks> sequences_;
  std::map<int, std::vector<float>> marks_;
  float next_mark_ = 1.0F;
};

// Forks, appends, rewrites and growth in random order: every sequence keeps its own tokens.
TEST(KvCache, SharedBlocksKeepEverySequencesTokens) {
  std::mt19937 random(11);
  Beams beams;
  for (int step = 0; step < 1500; ++step) {
    beams.step(random);
    beams.expect_marks();
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(beams.num_tokens(), 60);
}

TEST(KvCache, GrowthKeepsNumbersAndContents) {
  ReferenceBackend backend;
  KvCache cache(Placement::on(backend, 2), test::tiny_config(),
                {.num_tokens = 8, .block_size = kBlockSize});
  write(cache, 5, 3.0F);
  cache.grow(50);
  EXPECT_EQ(cache.num_tokens(), 52);
  EXPECT_EQ(cache.layer(1).num_blocks(), 13);
  EXPECT_EQ(cache.allocator().num_free(), 13);
  EXPECT_EQ(read(cache, 5), 3.0F);
  cache.copy_block(1, 12);
  EXPECT_EQ(read(cache, 49), 3.0F);
}

}  // namespace
}  // namespace m2
