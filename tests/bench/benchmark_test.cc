#include "bench/benchmark.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "backends/backends.h"
#include "base/error.h"
#include "bench/bench_report.h"
#include "bench/random_model.h"

namespace m2::bench {
namespace {

MiniMaxM2Config small_config() {
  MiniMaxM2Config config;
  config.vocab_size = 300;
  config.hidden_size = 128;
  config.intermediate_size = 64;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 32;
  config.num_local_experts = 32;
  config.num_experts_per_tok = 4;
  config.max_position_embeddings = 256;
  config.bos_token_id.reset();
  config.eos_token_ids.clear();
  return config;
}

class SmallConfigFile : public testing::Test {
 protected:
  SmallConfigFile() {
    std::filesystem::create_directories(directory_);
    std::ofstream(directory_ / "config.json") << small_config().to_json();
  }
  ~SmallConfigFile() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] BenchModelOptions options(const std::string& format) const {
    return {
        .model = directory_.string(), .random_weights = true, .format = format, .num_threads = 2};
  }

  std::filesystem::path directory_ = std::filesystem::path(testing::TempDir()) / "m2_bench_test";
};

TEST(Sweep, IsTheProductOfItsLists) {
  const auto tests = tests_of({.prefill_tokens = {0, 16},
                               .decode_tokens = {8},
                               .batch_sizes = {1, 4},
                               .contexts = {0, 32}});
  ASSERT_EQ(tests.size(), 6U);
  EXPECT_EQ(tests[0].kind, BenchTest::Kind::kPrefill);
  EXPECT_EQ(tests[2].num_seqs, 4);
  EXPECT_EQ(tests[5].context, 32);
}

TEST_F(SmallConfigFile, RandomRoutingIsEven) {
  for (const char* format : {"bf16", "fp8"}) {
    BenchModel subject(options(format));
    ExpertCounter counter(subject.model(), subject.weights());
    constexpr std::int64_t kTokens = 60;
    Workload workload(subject.model(), {.num_tokens = kTokens, .context = 20}, {});
    EXPECT_EQ(workload.num_steps(), kTokens);
    for (const Step& step : workload.count(counter)) EXPECT_EQ(step.experts_used, 3 * 4);

    Workload batch(subject.model(), {.num_tokens = 10, .num_seqs = 8, .context = 20}, {});
    double used = 0.0;
    for (const Step& step : batch.count(counter)) used += static_cast<double>(step.experts_used);
    const double expected = 32 * (1.0 - std::pow(1.0 - 4.0 / 32, 8));
    EXPECT_NEAR(used / (10 * 3), expected, 0.12 * expected) << format;
  }
}

TEST_F(SmallConfigFile, PrefillGoesInChunks) {
  BenchModel subject(options("bf16"));
  ExpertCounter counter(subject.model(), subject.weights());
  const BenchTest test = {.kind = BenchTest::Kind::kPrefill, .num_tokens = 40, .context = 8};
  Workload workload(subject.model(), test, {.chunk = 16});
  const auto steps = workload.count(counter);
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_EQ(steps[2].num_tokens, 8);
  EXPECT_EQ(steps[2].num_cached, 8 + 32);
  EXPECT_EQ(steps[1].num_logits, 0);
  EXPECT_EQ(steps[2].num_logits, 1);
  EXPECT_THROW(Workload(subject.model(), {.num_tokens = 200, .context = 100}, {}), Error);
}

TEST_F(SmallConfigFile, ReportsEveryPoint) {
  BenchModel subject(options("bf16"));
  BenchOptions sweep = {.prefill_tokens = {16}, .decode_tokens = {4}, .repetitions = 2};
  int seen = 0;
  const auto results = run_bench(subject, sweep, [&](const BenchResult& result) {
    ++seen;
    EXPECT_FALSE(table_row(result).empty());
  });
  EXPECT_EQ(seen, 2);
  const auto json = bench_json(subject, results);
  EXPECT_EQ(json["formats"], "bf16, attention bf16, head bf16");
  ASSERT_EQ(json["results"].size(), 2U);
  for (const auto& result : json["results"]) {
    EXPECT_GT(result["tokens_per_second"], 0.0);
    EXPECT_GT(result["read_share"], 0.0);
    EXPECT_GT(result["multiply_share"], 0.0);
    EXPECT_EQ(result["repetitions"].size(), 2U);
  }
  EXPECT_EQ(json["results"][1]["experts_per_layer"], 4.0);
}

TEST_F(SmallConfigFile, RefusesWhatDoesNotFit) {
  BenchModelOptions huge = options("f32");
  huge.num_layers = 500;
  huge.model = "";
  try {
    BenchModel subject(huge);
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    EXPECT_NE(std::string(error.what()).find("layers would fit"), std::string::npos);
  }
  BenchModelOptions stored = options("bf16");
  stored.random_weights = false;
  stored.num_layers = 2;
  EXPECT_THROW(BenchModel{stored}, Error);
  BenchModelOptions nothing;
  EXPECT_THROW(BenchModel{nothing}, Error);
}

TEST(RandomModel, HasTheBytesThatItSays) {
  const MiniMaxM2Config config = small_config();
  const auto backend = make_backend("cpu", 1);
  for (const char* name : {"bf16", "fp8", "int8_g32", "int4_g32", "int4_g128"}) {
    const ModelFormats formats = default_formats(weight_format_from_name(name), "cpu");
    const auto weights = make_random_model(config, formats, *backend);
    std::int64_t elements = 0;
    for (const LayerWeights& layer : weights->layers) {
      for (const ExpertWeights& expert : layer.experts) {
        for (const auto* matrix : {&expert.gate, &expert.up, &expert.down}) {
          check_weight(*matrix, name);
          elements += matrix->rows * matrix->cols;
        }
      }
    }
    EXPECT_EQ(elements, 3 * 32 * 3 * 128 * 64);
    EXPECT_GT(random_model_bytes(config, formats), elements / 2);
  }
}

}  // namespace
}  // namespace m2::bench
