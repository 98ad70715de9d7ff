#include "model/expert_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <set>

#include "cpu/cpu_backend.h"
#include "m2/error.h"
#include "model/make_expert_cache.h"
#include "support/paths.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

struct Loaded {
  explicit Loaded(const fs::path& directory)
      : config(MiniMaxM2Config::from_pretrained(directory)),
        checkpoint(Checkpoint::open(directory)),
        weights(load_weights(config, checkpoint)) {}

  [[nodiscard]] std::vector<bool> all_layers() const {
    return std::vector<bool>(weights.layers.size(), true);
  }
  [[nodiscard]] std::int64_t slot_bytes() const {
    std::size_t most = 0;
    for (const LayerWeights& layer : weights.layers) {
      for (const ExpertWeights& expert : layer.experts) {
        most = std::max(most, expert_layout(expert, *checkpoint)->bytes);
      }
    }
    return static_cast<std::int64_t>(most);
  }

  MiniMaxM2Config config;
  std::shared_ptr<const Checkpoint> checkpoint;
  ModelWeights weights;
};

void expect_same(const WeightView& got, const WeightView& expected) {
  const auto elements = static_cast<std::size_t>(expected.num_bytes() - expected.num_scale_bytes());
  EXPECT_EQ(std::memcmp(got.data, expected.data, elements), 0);
  EXPECT_EQ(got.scale == nullptr, expected.scale == nullptr);
  if (expected.scale == nullptr) return;
  EXPECT_EQ(
      std::memcmp(got.scale, expected.scale, static_cast<std::size_t>(expected.num_scale_bytes())),
      0);
}

class ExpertCacheGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(ExpertCacheGolden, GivesTheBytesOfTheFiles) {
  const Loaded loaded(test::golden_path("checkpoints") / GetParam());
  const auto num_layers = loaded.weights.layers.size();
  const auto num_experts = static_cast<std::int32_t>(loaded.config.num_local_experts);
  for (const std::int64_t slots : {1, 3, 100}) {
    ExpertCache cache(loaded.checkpoint, loaded.weights.layers, loaded.all_layers(),
                      slots * loaded.slot_bytes());
    std::mt19937 random(7);
    const auto draw = [&] {
      std::vector<std::int32_t> ids(1 + random() % 4);
      for (auto& id : ids)
        id = static_cast<std::int32_t>(random() % static_cast<unsigned>(num_experts));
      return ids;
    };
    std::int64_t asked = 0;
    for (int step = 0; step < 60; ++step) {
      for (std::size_t layer = 0; layer < num_layers; ++layer) {
        const auto ids = draw();
        const auto next = layer + 1 < num_layers ? draw() : std::vector<std::int32_t>();
        const auto experts = cache.fetch(layer, ids, next);
        ASSERT_EQ(experts.size(), loaded.weights.layers[layer].experts.size());
        for (const std::int32_t id : ids) {
          const ExpertWeights& expected =
              loaded.weights.layers[layer].experts[static_cast<std::size_t>(id)];
          const ExpertWeights& got = experts[static_cast<std::size_t>(id)];
          expect_same(got.gate, expected.gate);
          expect_same(got.up, expected.up);
          expect_same(got.down, expected.down);
        }
        asked += std::ssize(std::set<std::int32_t>(ids.begin(), ids.end()));
      }
    }
    const ExpertCacheStats stats = cache.stats();
    EXPECT_EQ(stats.total(), asked) << slots;
    EXPECT_GT(stats.bytes_read, 0);
    if (slots == 100) {
      // Everything fits: nothing is read twice.
      EXPECT_LE(stats.misses + stats.late + stats.look_ahead,
                static_cast<std::int64_t>(num_layers) * num_experts);
      EXPECT_LE(stats.bytes_read,
                static_cast<std::int64_t>(num_layers) * num_experts * loaded.slot_bytes());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ExpertCacheGolden,
                         ::testing::Values("bf16", "fp8", "sharded", "internal_names"));

TEST(ExpertCache, KeepsWhatIsUsedOften) {
  const Loaded loaded(test::golden_path("checkpoints/sharded"));
  ExpertCache cache(loaded.checkpoint, loaded.weights.layers, loaded.all_layers(),
                    3 * loaded.slot_bytes());
  const std::vector<std::int32_t> hot = {0};
  for (int i = 0; i < 5; ++i) (void)cache.fetch(0, hot, {});
  // Others pass by, and the hot one in between.
  for (std::int32_t i = 0; i < 12; ++i) {
    (void)cache.fetch(1, std::vector<std::int32_t>{i % 4}, {});
    (void)cache.fetch(2, std::vector<std::int32_t>{i % 4}, {});
    const auto before = cache.stats();
    (void)cache.fetch(0, hot, {});
    EXPECT_EQ(cache.stats().hits, before.hits + 1) << i;
  }
}

TEST(ExpertCache, SaysThatAFileWasCutShort) {
  const fs::path directory = fs::temp_directory_path() / "m2_expert_cache_test";
  fs::remove_all(directory);
  fs::copy(test::golden_path("checkpoints/bf16"), directory);
  {
    const Loaded loaded(directory);
    ExpertCache cache(loaded.checkpoint, loaded.weights.layers, loaded.all_layers(),
                      4 * loaded.slot_bytes());
    fs::resize_file(directory / "model.safetensors", 100);
    try {
      (void)cache.fetch(0, std::vector<std::int32_t>{0}, {});
      ADD_FAILURE() << "read a file that is gone";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorruptFile);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("model.safetensors"));
    }
  }
  fs::remove_all(directory);
}

TEST(MakeExpertCache, FollowsTheSize) {
  const Loaded loaded(test::golden_path("checkpoints/bf16"));
  CpuBackend backend(1);
  const Placement placement = Placement::on(backend, std::ssize(loaded.weights.layers));
  const auto make = [&](const std::string& size) {
    return make_expert_cache(loaded.weights, placement, size, loaded.checkpoint);
  };
  EXPECT_EQ(make("0"), nullptr);
  EXPECT_EQ(make("auto"), nullptr);  // a small model fits
  const auto cache = make("1MB");
  ASSERT_NE(cache, nullptr);
  EXPECT_TRUE(cache->covers(0));
  EXPECT_LE(cache->stats().capacity_bytes, 1'000'000);
  EXPECT_THROW(make("1"), Error);
  EXPECT_THROW(make("much"), Error);
}

}  // namespace
}  // namespace m2
