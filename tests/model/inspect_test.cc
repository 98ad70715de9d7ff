#include "model/inspect.h"

#include <gtest/gtest.h>

#include "support/paths.h"

namespace m2 {
namespace {

// The sums of the published model, whose index names 230,121,630,720 bytes.
TEST(Inspect, ParametersAtFullSize) {
  const MiniMaxM2Config config;
  const ComponentSizes counts = count_parameters(config);
  EXPECT_EQ(counts.embedding, 614'596'608);
  EXPECT_EQ(counts.lm_head, 614'596'608);
  EXPECT_EQ(counts.attention + counts.norms - config.hidden_size * (2 * 62 + 1),
            62 * std::int64_t{44'047'360});
  EXPECT_EQ(counts.experts, 62 * std::int64_t{3'623'878'656});
  EXPECT_EQ(counts.router, 62 * std::int64_t{786'432});
  EXPECT_EQ(counts.parameters(), 228'689'748'992);
  EXPECT_EQ(counts.total(), 228'689'764'864);
  EXPECT_EQ(active_parameters(config), 11'030'537'216);
}

TEST(Inspect, BytesAtFullSize) {
  const MiniMaxM2Config config;
  EXPECT_EQ(estimate_bytes(config, DType::kBF16).total(), 457'379'529'728);
  const ComponentSizes fp8 = estimate_bytes(config, DType::kF8E4M3);
  EXPECT_EQ(fp8.total(), 230'121'630'720);
  EXPECT_EQ(fp8.attention + fp8.experts, 227'410'968'576);
  EXPECT_EQ(fp8.scales, 55'520'256);
  EXPECT_EQ(fp8.embedding + fp8.lm_head + fp8.norms, 2'460'043'264);
  EXPECT_EQ(fp8.router + fp8.correction_bias, 195'098'624);
}

TEST(Inspect, MemoryOfAContext) {
  const MiniMaxM2Config config;
  EXPECT_EQ(kv_bytes_per_token(config, KvFormat::kBF16), 253'952);
  EXPECT_EQ(kv_bytes_per_token(config, KvFormat::kInt8), 142'848);
  EXPECT_EQ(kv_bytes_per_token(config, KvFormat::kF32), 507'904);
  EXPECT_EQ(memory_bytes(config, 1000, KvFormat::kBF16, 196'608), 1000 + 49'928'994'816);
  EXPECT_EQ(memory_bytes(config, 1000, KvFormat::kBF16, 0), 1000);
}

class InspectGolden : public ::testing::TestWithParam<const char*> {};

// Three ways to the same bytes: from the config, from the weights, from the file.
TEST_P(InspectGolden, EstimateIsWhatTheFileHas) {
  const auto directory = test::golden_path("checkpoints/" + std::string(GetParam()));
  const auto config = MiniMaxM2Config::from_pretrained(directory);
  const auto checkpoint = Checkpoint::open(directory);
  const DType dtype = checkpoint->find("model.layers.0.self_attn.q_proj.weight")->view.dtype;
  const ComponentSizes estimate = estimate_bytes(config, dtype);
  const ComponentSizes stored = stored_bytes(load_weights(config, checkpoint));
  EXPECT_EQ(estimate.embedding, stored.embedding);
  EXPECT_EQ(estimate.lm_head, stored.lm_head);
  EXPECT_EQ(estimate.attention, stored.attention);
  EXPECT_EQ(estimate.router, stored.router);
  EXPECT_EQ(estimate.experts, stored.experts);
  EXPECT_EQ(estimate.scales, stored.scales);
  EXPECT_EQ(count_parameters(config).norms * 4, stored.norms);
  std::int64_t file_bytes = 0;
  for (const auto& [type, bytes] : bytes_by_storage(*checkpoint)) file_bytes += bytes;
  EXPECT_EQ(estimate.total(), file_bytes);
}

INSTANTIATE_TEST_SUITE_P(All, InspectGolden,
                         ::testing::Values("gqa", "mqa", "tied", "bf16", "sharded",
                                           "internal_names", "fp8", "fp8_small_blocks"),
                         [](const auto& name) { return std::string(name.param); });

}  // namespace
}  // namespace m2
