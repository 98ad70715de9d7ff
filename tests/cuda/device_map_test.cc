// The public classes with their modules on devices: loading, forward, generate, saving.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "cuda/devices.h"
#include "m2/modeling.h"
#include "support/paths.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

class CudaDeviceMap : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::list_devices().empty()) GTEST_SKIP() << "there is no CUDA device";
    for (std::int64_t i = 0; i < 20; ++i) ids_.push_back(i * i * 7 % 1900 + 5);
  }

  [[nodiscard]] TensorView input_ids() {
    return {ids_.data(), DType::kI64, {2, static_cast<std::int64_t>(ids_.size()) / 2}};
  }
  static MiniMaxM2ForCausalLM load(const DeviceMap& map, LoadingInfo* info = nullptr) {
    return MiniMaxM2ForCausalLM::from_pretrained(test::shipped_model().string(),
                                                 {.device_map = map}, info);
  }
  Tensor logits(MiniMaxM2ForCausalLM& model) {
    ForwardInputs inputs;
    inputs.input_ids = input_ids();
    return std::move(model.forward(inputs).logits);
  }
  std::vector<std::int64_t> generate(MiniMaxM2ForCausalLM& model, const GenerationConfig& config) {
    GenerateInputs inputs;
    inputs.input_ids = input_ids();
    const Tensor sequences = std::move(model.generate(inputs, config).sequences);
    const auto* first = sequences.as<std::int64_t>();
    return {first, first + sequences.view().num_elements()};
  }

  std::vector<std::int64_t> ids_;
};

double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double worst = 0.0;
  for (std::int64_t i = 0; i < b.view().num_elements(); ++i) {
    const double error = std::fabs(double{a.as<float>()[i]} - double{b.as<float>()[i]});
    if (!(error <= worst)) worst = error;
  }
  return worst;
}

DeviceMap split_map() {
  DeviceMap map;
  map.modules = {
      {"", "cuda:0"}, {"model.layers.1", "cpu"}, {"model.layers.2", "disk"}, {"lm_head", "cpu"}};
  return map;
}

TEST_F(CudaDeviceMap, AutoFillsTheDeviceFirst) {
  LoadingInfo info;
  (void)load("auto", &info);
  EXPECT_EQ(info.device_map.at("model.embed_tokens"), "cuda:0");
  EXPECT_NE(info.device_report.find("cuda:0"), std::string::npos);
}

TEST_F(CudaDeviceMap, ModulesOnBothGiveTheSameLogits) {
  auto host = load("cpu");
  const Tensor expected = logits(host);
  LoadingInfo info;
  for (const DeviceMap& map : {DeviceMap("cuda"), split_map()}) {
    auto device = load(map, &info);
    EXPECT_LE(largest_difference(logits(device), expected), 2e-3) << info.device_report;
  }
  EXPECT_EQ(info.device_map.at("model.layers.0"), "cuda:0");
  EXPECT_EQ(info.device_map.at("model.layers.1"), "cpu");
  EXPECT_EQ(info.device_map.at("model.layers.2"), "disk");
}

TEST_F(CudaDeviceMap, GenerateFollowsTheHost) {
  auto host = load("cpu");
  auto device = load("cuda");
  auto split = load(split_map());
  GenerationConfig greedy;
  greedy.max_new_tokens = 32;
  greedy.do_sample = false;
  GenerationConfig beams = greedy;
  beams.num_beams = 3;
  GenerationConfig fixed = greedy;
  fixed.cache_implementation = "static";
  GenerationConfig offloaded = beams;
  offloaded.cache_implementation = "offloaded";
  for (const GenerationConfig& config : {greedy, beams, fixed, offloaded}) {
    const auto expected = generate(host, config);
    EXPECT_EQ(generate(device, config), expected);
    EXPECT_EQ(generate(split, config), expected);
  }
}

TEST_F(CudaDeviceMap, SavesWhatItLoaded) {
  auto device = load("cuda");
  const fs::path directory = fs::path(testing::TempDir()) / "m2_cuda_saved";
  device.save_pretrained(directory);
  auto again = MiniMaxM2ForCausalLM::from_pretrained(directory.string(), {.device_map = "cuda"});
  EXPECT_EQ(largest_difference(logits(again), logits(device)), 0.0);
  EXPECT_EQ(again.resize_token_embeddings(2100), 2100);
  EXPECT_EQ(logits(again).shape(), (Shape{2, 10, 2100}));
  fs::remove_all(directory);
}

}  // namespace
}  // namespace m2
