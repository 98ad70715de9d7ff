// The whole model on the device: against the reference's numbers, and against the processor.
#include <gtest/gtest.h>

#include <cstdio>

#include "checkpoint/safetensors.h"
#include "cuda/device_models.h"
#include "cuda/devices.h"
#include "support/paths.h"

namespace m2 {
namespace {

using test::largest_difference;

class CudaModel : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::list_devices().empty()) GTEST_SKIP() << "there is no CUDA device";
  }
};

class CudaParity : public CudaModel, public testing::WithParamInterface<const char*> {};

// The bound of the project for float32 outputs; F16 and F8 weights meet activations that are held
// to 2^-12, which a few layers and the head let grow.
double bound_of(const std::string& checkpoint) {
  return checkpoint == "f16" || checkpoint.starts_with("fp8") ? 4e-3 : 1e-4;
}

TEST_P(CudaParity, ForwardPass) {
  const auto directory = test::golden_path(std::string("checkpoints/") + GetParam());
  const SafetensorsFile golden(directory / "golden.safetensors");
  const auto find = [&](const std::string& name) {
    for (const auto& entry : golden.entries()) {
      if (entry.name == name) return entry.view;
    }
    throw std::runtime_error("no golden " + name);
  };
  const auto model = test::load_on(directory, "cuda");
  ForwardInputs inputs;
  inputs.input_ids = find("input_ids");
  inputs.attention_mask = find("attention_mask");
  inputs.position_ids = find("position_ids");
  inputs.output_hidden_states = true;
  inputs.output_router_logits = true;
  inputs.output_attentions = true;
  const MoeCausalLMOutputWithPast outputs = model->forward(inputs);
  const double logits = largest_difference(outputs.logits.view(), find("logits"));
  const double bound = bound_of(GetParam());
  EXPECT_LE(logits, bound);
  const auto compare_all = [&](const std::string& name, const std::vector<Tensor>& ours) {
    for (std::size_t i = 0; i < ours.size(); ++i) {
      const TensorView theirs = find(name + "." + std::to_string(i));
      const TensorView flat = {ours[i].view().data, DType::kF32, theirs.shape};
      EXPECT_LE(largest_difference(flat, theirs), bound) << name << " " << i;
    }
  };
  compare_all("hidden_states", outputs.hidden_states);
  compare_all("router_logits", outputs.router_logits);
  compare_all("attentions", outputs.attentions);
  std::printf("cuda parity %-18s logits %.1e\n", GetParam(), logits);
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, CudaParity,
                         testing::Values("gqa", "mqa", "mha", "tied", "bf16", "f16", "fp8",
                                         "fp8_small_blocks", "sharded", "internal_names",
                                         "hub_config"),
                         [](const auto& param) { return std::string(param.param); });

// The largest difference of the logits over a greedy conversation after a prompt of some length.
double converse(CausalLm& host, CausalLm& device, std::int64_t prompt) {
  test::Conversation on_host(host);
  test::Conversation on_device(device);
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < prompt; ++i) ids.push_back(i * i * 7 % 1900 + 5);
  double worst = 0.0;
  for (int step = 0; step < 128; ++step) {
    const std::int64_t host_token = on_host.next(ids);
    const std::int64_t device_token = on_device.next(ids);
    worst = std::max(worst, largest_difference(on_device.logits().view(), on_host.logits().view()));
    EXPECT_EQ(device_token, host_token) << "prompt of " << prompt << ", step " << step;
    if (device_token != host_token) break;
    ids = {host_token};
  }
  std::printf("cuda shipped model: prompt of %d, largest difference of logits %.1e\n",
              static_cast<int>(prompt), worst);
  return worst;
}

// The activations of more than 64 tokens are rounded to BF16, as the model's weights are.
TEST_F(CudaModel, ShippedModelSaysWhatItSaysOnTheProcessor) {
  const auto host = test::load_on(test::shipped_model(), "cpu");
  const auto device = test::load_on(test::shipped_model(), "cuda");
  EXPECT_LE(converse(*host, *device, 64), 2e-3);
  EXPECT_LE(converse(*host, *device, 70), 0.125);
}

}  // namespace
}  // namespace m2
