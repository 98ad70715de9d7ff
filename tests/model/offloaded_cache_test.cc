#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "m2/cache.h"
#include "model/blocks_in_use.h"
#include "model/causal_lm.h"
#include "model/place_weights.h"
#include "ops/reference_backend.h"
#include "support/distant_backend.h"
#include "support/tiny_model.h"
#include "support/views.h"

namespace m2 {
namespace {

using testing::ElementsAre;

using Ints = std::vector<std::int64_t>;
using Floats = std::vector<float>;

constexpr std::int64_t kLayers = 3;

MiniMaxM2Config three_layers() {
  MiniMaxM2Config config = test::tiny_config();
  config.num_hidden_layers = kLayers;
  return config;
}

Floats numbers(const Tensor& tensor) {
  return {tensor.as<float>(), tensor.as<float>() + tensor.view().num_elements()};
}

// The same model in the host's memory and on devices.
class OffloadedCacheTest : public testing::Test {
 protected:
  CausalLm model_on(const Placement& placement) {
    return {config_, std::make_shared<const ModelWeights>(place_weights(*weights_, placement)),
            placement};
  }

  // Feeds `rows` rows of `length` tokens; returns the logits of the last position.
  static Floats feed(CausalLm& model, const std::shared_ptr<Cache>& cache, std::int64_t rows,
                     std::int64_t length) {
    Ints ids;
    for (std::int64_t i = 0; i < rows * length; ++i) ids.push_back((i * i * 7 + length) % 60 + 3);
    return numbers(model
                       .forward({.input_ids = test::view(ids, {rows, length}),
                                 .past_key_values = cache,
                                 .logits_to_keep = 1})
                       .logits);
  }

  void expect_same(const Cache& cache, const Cache& expected) {
    for (std::int64_t layer = 0; layer < kLayers; ++layer) {
      ASSERT_EQ(cache.keys(layer).shape(), expected.keys(layer).shape());
      EXPECT_EQ(numbers(cache.keys(layer)), numbers(expected.keys(layer))) << layer;
      EXPECT_EQ(numbers(cache.values(layer)), numbers(expected.values(layer))) << layer;
    }
  }

  MiniMaxM2Config config_ = three_layers();
  std::shared_ptr<const ModelWeights> weights_ = test::TinyWeights(config_, 9).share();
  std::shared_ptr<test::DistantBackend> distant_ = std::make_shared<test::DistantBackend>();
  std::shared_ptr<Backend> host_ = std::make_shared<ReferenceBackend>();
  Placement on_host_ = Placement::on(host_, kLayers);
  Placement on_device_ = Placement::on(distant_, kLayers);
  CausalLm model_ = model_on(on_host_);
};

TEST_F(OffloadedCacheTest, KeepsWhatAPlainCacheKeeps) {
  const auto other = std::make_shared<test::DistantBackend>();
  const struct {
    const char* name;
    Placement placement;
  } cases[] = {
      {"one device", on_device_},
      {"two devices", {distant_, {distant_, other, distant_}, {distant_, other, distant_}, other}},
      {"device and host",
       {distant_, {distant_, host_, distant_}, {distant_, host_, distant_}, host_}},
      {"experts elsewhere",
       {distant_, {distant_, distant_, host_}, {host_, other, distant_}, distant_}},
      {"host", on_host_}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    CausalLm model = model_on(c.placement);
    const auto plain = std::make_shared<DynamicCache>();
    const auto cache = std::make_shared<DynamicCache>(true);
    const auto expect_same_step = [&](std::int64_t rows, std::int64_t length) {
      EXPECT_EQ(feed(model, cache, rows, length), feed(model_, plain, rows, length));
      expect_same(*cache, *plain);
    };
    const auto both = [&](const std::function<void(Cache&)>& change) {
      change(*plain);
      change(*cache);
    };
    expect_same_step(2, 40);
    expect_same_step(2, 1);
    both([](Cache& held) { held.crop(37); });
    expect_same_step(2, 2);
    both([](Cache& held) { held.batch_repeat_interleave(2); });
    expect_same_step(4, 3);  // copies the blocks that rows share
    both([](Cache& held) { held.reorder_cache(Ints{3, 0, 0, 1}); });
    expect_same_step(4, 90);  // grows
    both([](Cache& held) { held.batch_select_indices(Ints{2, 1}); });
    expect_same_step(2, 1);
    both([](Cache& held) { held.reset(); });
    expect_same_step(3, 5);
  }
}

TEST_F(OffloadedCacheTest, StaticOnesToo) {
  CausalLm model = model_on(on_device_);
  const auto plain = std::make_shared<StaticCache>(50);
  const auto cache = std::make_shared<StaticCache>(50, true);
  for (const std::int64_t length : {34, 1, 5}) {
    EXPECT_EQ(feed(model, cache, 2, length), feed(model_, plain, 2, length)) << length;
    expect_same(*cache, *plain);
  }
  plain->reset();
  cache->reset();
  expect_same(*cache, *plain);
  EXPECT_EQ(feed(model, cache, 1, 3), feed(model_, plain, 1, 3));
}

TEST_F(OffloadedCacheTest, ADeviceHasRoomForOneLayer) {
  KvCache cache(on_device_, config_, {.num_tokens = 64, .offloading = true});
  EXPECT_TRUE(cache.is_offloaded());
  const void* room = cache.layer(0).keys.data;
  for (const std::size_t layer : {1, 2}) EXPECT_EQ(cache.layer(layer).keys.data, room);
  EXPECT_FALSE(KvCache(on_host_, config_, {.num_tokens = 64, .offloading = true}).is_offloaded());
  EXPECT_FALSE(KvCache(on_device_, config_, {.num_tokens = 64}).is_offloaded());
}

TEST_F(OffloadedCacheTest, MovesTheBlocksInUseOnce) {
  CausalLm model = model_on(on_device_);
  const auto moved = [&](bool offloading) {
    const auto cache = std::make_shared<DynamicCache>(offloading);
    (void)feed(model, cache, 1, 40);
    cache->batch_repeat_interleave(2);  // room for more blocks than are used after the next call
    const std::size_t up = distant_->uploaded();
    const std::size_t down = distant_->downloaded();
    (void)feed(model, cache, 2, 1);
    return std::pair(distant_->uploaded() - up, distant_->downloaded() - down);
  };
  const auto [up, down] = moved(true);
  const auto [plain_up, plain_down] = moved(false);
  // Keys and values of a block in every layer.
  const std::size_t block = 2 * kLayers * 2 * 32 * 16 * sizeof(float);
  EXPECT_EQ(up - plain_up, 3 * block);  // one that the rows share, and one of each
  EXPECT_EQ(down - plain_down, 2 * block);
}

MATCHER_P2(RunIs, first, count, "") { return arg.first == first && arg.count == count; }

TEST(BlocksInUse, AreRunsOfNeighbours) {
  Batch batch;
  batch.context_lens = {9, 4};
  batch.max_blocks = 4;
  batch.block_tables = {5, 2, 6, 8, 2, -1, -1, -1};
  batch.slot_mapping = {24, 10, 11};
  const BlocksInUse blocks = blocks_in_use(batch, 4);
  EXPECT_THAT(blocks.read, ElementsAre(RunIs(2, 1), RunIs(5, 2)));
  EXPECT_THAT(blocks.written, ElementsAre(RunIs(2, 1), RunIs(6, 1)));
}

}  // namespace
}  // namespace m2
