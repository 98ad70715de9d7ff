// Every golden checkpoint that transformers wrote: our numbers against its numbers.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include "checkpoint/safetensors.h"
#include "model/causal_lm.h"
#include "service/loaded_model.h"
#include "support/paths.h"

namespace m2 {
namespace {

// The bound of the project: float32 logits within 1e-4 of the reference. The other outputs are of
// the same size or smaller.
constexpr double kBound = 1e-4;

class Parity : public testing::TestWithParam<std::string> {
 protected:
  std::filesystem::path directory_ = test::golden_path("checkpoints/" + GetParam());
  SafetensorsFile golden_{directory_ / "golden.safetensors"};
  LoadedModel loaded_{directory_, {}};

  [[nodiscard]] TensorView golden(const std::string& name) const {
    for (const auto& entry : golden_.entries()) {
      if (entry.name == name) return entry.view;
    }
    throw std::runtime_error("no golden " + name);
  }

  template <typename T>
  [[nodiscard]] std::vector<T> integers(const std::string& name) const {
    const TensorView view = golden(name);
    const auto* data = static_cast<const std::int64_t*>(view.data);
    return {data, data + view.num_elements()};
  }

  // With positions and labels; the arrays are those of the golden file.
  [[nodiscard]] ForwardInputs inputs() const {
    return {.input_ids = golden("input_ids"),
            .attention_mask = golden("attention_mask"),
            .position_ids = golden("position_ids"),
            .use_cache = false,
            .output_hidden_states = true,
            .output_attentions = true,
            .output_router_logits = true,
            .labels = golden("labels")};
  }

  // Largest difference, with its index in the failure message.
  double compare(const std::string& name, const float* ours) {
    const TensorView reference = golden(name);
    const auto* theirs = static_cast<const float*>(reference.data);
    double worst = 0;
    std::int64_t worst_index = 0;
    for (std::int64_t i = 0; i < reference.num_elements(); ++i) {
      const double error = std::abs(static_cast<double>(ours[i]) - theirs[i]);
      if (!(error <= worst)) {
        worst = error;
        worst_index = i;
      }
    }
    EXPECT_LE(worst, kBound) << name << "[" << worst_index << "]: ours " << ours[worst_index]
                             << ", reference " << theirs[worst_index];
    return worst;
  }

  double compare(const std::string& name, std::span<const Tensor> ours) {
    double worst = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      worst = std::max(worst, compare(name + "." + std::to_string(i), ours[i].as<float>()));
    }
    return worst;
  }
};

TEST_P(Parity, ForwardPass) {
  loaded_.causal_lm().set_attn_implementation("eager");
  const MoeCausalLMOutputWithPast outputs = loaded_.causal_lm().forward(inputs());
  const double logits = compare("logits", outputs.logits.as<float>());
  const double hidden_states = compare("hidden_states", outputs.hidden_states);
  const double router_logits = compare("router_logits", outputs.router_logits);
  const double attentions = compare("attentions", outputs.attentions);
  const double loss = compare("loss", &outputs.loss.value());
  const double aux_loss = compare("aux_loss", &outputs.aux_loss.value());
  const auto layers = static_cast<std::size_t>(loaded_.config().num_hidden_layers);
  EXPECT_EQ(outputs.hidden_states.size(), layers + 1);
  EXPECT_EQ(outputs.attentions.size(), layers);
  std::printf(
      "parity %-18s logits %.1e hidden %.1e router %.1e attentions %.1e loss %.1e "
      "aux %.1e\n",
      GetParam().c_str(), logits, hidden_states, router_logits, attentions, loss, aux_loss);
}

TEST_P(Parity, DefaultArguments) {
  TensorView one_row = golden("input_ids");
  one_row.shape = {1, one_row.shape[1]};
  const MoeCausalLMOutputWithPast outputs = loaded_.causal_lm().forward({.input_ids = one_row});
  compare("logits_unpadded", outputs.logits.as<float>());
  EXPECT_FALSE(outputs.loss.has_value());
  EXPECT_FALSE(outputs.aux_loss.has_value());
  EXPECT_TRUE(outputs.hidden_states.empty());
}

TEST_P(Parity, GreedyContinuationOf64Tokens) {
  GenerationConfig call;
  call.update_from_json(R"({"max_new_tokens": 64, "do_sample": false, "eos_token_id": null})");
  GenerateInputs prompt;
  prompt.input_ids = golden("input_ids");
  prompt.attention_mask = golden("attention_mask");
  const GenerateOutput output = loaded_.generate(prompt, call);
  const auto expected = integers<std::int64_t>("generated");
  const std::int64_t columns = output.sequences.shape()[1];
  ASSERT_EQ(output.sequences.shape()[0], 2);
  for (std::int64_t row = 0; row < 2; ++row) {
    const auto begin = expected.begin() + static_cast<std::ptrdiff_t>(row) * 64;
    const auto* end = output.sequences.as<std::int64_t>() + (row + 1) * columns;
    EXPECT_EQ(std::vector<std::int64_t>(end - 64, end),
              std::vector<std::int64_t>(begin, begin + 64))
        << "row " << row;
  }
}

INSTANTIATE_TEST_SUITE_P(Checkpoints, Parity,
                         testing::Values("gqa", "mqa", "mha", "tied", "bf16", "f16", "fp8",
                                         "fp8_small_blocks", "sharded", "internal_names",
                                         "hub_config"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace m2
