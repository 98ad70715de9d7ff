// What a forward pass makes of a KV cache in each of its formats.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backends/backends.h"
#include "base/error.h"
#include "model/kv_cache.h"
#include "model/minimax_m2.h"
#include "ops/reference_backend.h"
#include "support/distant_backend.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

constexpr std::int32_t kBlockSize = 4;
constexpr std::int64_t kNumTokens = 30;

struct Pass {
  explicit Pass(std::shared_ptr<Backend> backend, KvFormat format)
      : placement(Placement::on(backend, config.num_hidden_layers)),
        model(config, test::TinyWeights(config, 5).share(), placement),
        cache(placement, config,
              {.num_tokens = kNumTokens, .block_size = kBlockSize, .format = format}),
        blocks(cache.allocator(), kBlockSize) {}

  // Two passes, so that the second reads what the first one stored. The hidden states of the last.
  std::vector<float> hidden_states() {
    EXPECT_TRUE(blocks.reserve(kNumTokens));
    TensorView output;
    for (const auto& [first, count] : {std::pair<int, int>(0, 17), {17, 13}}) {
      std::vector<std::int32_t> ids;
      std::vector<std::int64_t> positions;
      for (int i = first; i < first + count; ++i) {
        ids.push_back((i * 11 + 5) % 67);
        positions.push_back(i);
      }
      Batch batch;
      batch.add({.token_ids = ids,
                 .position_ids = positions,
                 .num_cached_tokens = first,
                 .blocks = &blocks});
      batch.finish();
      output = model.forward(batch, cache);
    }
    return {output.as<float>(), output.as<float>() + output.num_elements()};
  }

  MiniMaxM2Config config = test::tiny_config();
  Placement placement;
  MiniMaxM2 model;
  KvCache cache;
  SequenceBlocks blocks;
};

// |a - b| / |b|
double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(double{a[i]} - b[i], 2);
    norm += std::pow(double{b[i]}, 2);
  }
  return std::sqrt(difference / norm);
}

// The median over the tokens: a rounding may tip the choice of an expert.
double token_distance(const std::vector<float>& a, const std::vector<float>& b) {
  const auto width = static_cast<std::ptrdiff_t>(test::tiny_config().hidden_size);
  std::vector<double> distances;
  for (std::ptrdiff_t first = 0; first < std::ssize(a); first += width) {
    distances.push_back(distance({a.begin() + first, a.begin() + first + width},
                                 {b.begin() + first, b.begin() + first + width}));
  }
  std::ranges::nth_element(distances, distances.begin() + std::ssize(distances) / 2);
  return distances[distances.size() / 2];
}

TEST(KvFormat, ErrorsAreThoseOfTheStoredNumbers) {
  const auto plain = std::make_shared<ReferenceBackend>();
  const std::vector<float> exact = Pass(plain, KvFormat::kF32).hidden_states();
  struct Case {
    KvFormat format;
    double low;
    double high;  // of the relative error of the hidden states
  };
  for (const auto& [format, low, high] :
       {Case{KvFormat::kF32, 0.0, 1e-5}, Case{KvFormat::kBF16, 1e-5, 1e-2},
        Case{KvFormat::kF8E4M3, 1e-4, 5e-2}, Case{KvFormat::kInt8, 1e-5, 2e-2}}) {
    const std::vector<float> reference = Pass(plain, format).hidden_states();
    EXPECT_GE(token_distance(reference, exact), low) << static_cast<int>(format);
    EXPECT_LE(token_distance(reference, exact), high) << static_cast<int>(format);
    const std::vector<float> cpu = Pass(make_backend("cpu", 2), format).hidden_states();
    EXPECT_LE(distance(cpu, reference), 1e-3) << "rounds otherwise at most where codes meet";
  }
}

TEST(KvFormat, BlocksAreCopiedWithTheirScales) {
  for (const KvFormat format :
       {KvFormat::kF32, KvFormat::kBF16, KvFormat::kF8E4M3, KvFormat::kInt8}) {
    Pass run(std::make_shared<ReferenceBackend>(), format);
    (void)run.hidden_states();
    const std::int32_t from = run.blocks.block_table()[0];
    const std::int32_t to = run.blocks.block_table()[1];
    run.cache.copy_block(from, to);
    run.cache.grow(3 * kNumTokens);
    for (const KvPart part : {KvPart::kKeys, KvPart::kValues}) {
      const Tensor first(DType::kF32, {2, kBlockSize, 16});
      const Tensor second(DType::kF32, first.shape());
      run.cache.read_block(1, from, part, first.view());
      run.cache.read_block(1, to, part, second.view());
      const float* numbers = first.as<float>();
      EXPECT_TRUE(std::equal(numbers, numbers + first.shape().num_elements(), second.as<float>()));
      EXPECT_GT(std::abs(numbers[0]), 0.0F);
    }
  }
}

TEST(KvFormat, NamesAndDefaults) {
  EXPECT_EQ(kv_format_from_name("auto"), std::nullopt);
  EXPECT_EQ(kv_format_from_name("float32"), KvFormat::kF32);
  EXPECT_EQ(kv_format_from_name("bfloat16"), KvFormat::kBF16);
  EXPECT_EQ(kv_format_from_name("fp8"), KvFormat::kF8E4M3);
  EXPECT_EQ(kv_format_from_name("int8"), KvFormat::kInt8);
  EXPECT_THROW((void)kv_format_from_name("q4_0"), Error);
  const auto here = Placement::on(std::make_shared<ReferenceBackend>(), 2);
  const auto there = Placement::on(std::make_shared<test::DistantBackend>(), 2);
  EXPECT_EQ(default_kv_format(here), KvFormat::kF32);
  EXPECT_EQ(default_kv_format(there), KvFormat::kBF16);
  try {
    KvCache(there, test::tiny_config(), {.num_tokens = 8, .format = KvFormat::kInt8});
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  }
}

}  // namespace
}  // namespace m2
