// The model classes as users of transformers know them: forward, modes, counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "checkpoint/safetensors.h"
#include "m2/error.h"
#include "m2/modeling.h"
#include "support/paths.h"

namespace m2 {
namespace {

using testing::HasSubstr;

class ModelClasses : public testing::Test {
 protected:
  std::filesystem::path directory_ = test::golden_path("checkpoints/gqa");
  SafetensorsFile golden_{directory_ / "golden.safetensors"};
  MiniMaxM2ForCausalLM model_ = MiniMaxM2ForCausalLM::from_pretrained(directory_.string());

  [[nodiscard]] TensorView golden(const std::string& name) const {
    for (const auto& entry : golden_.entries()) {
      if (entry.name == name) return entry.view;
    }
    throw std::runtime_error("no golden " + name);
  }

  [[nodiscard]] ForwardInputs inputs() const {
    return {.input_ids = golden("input_ids"),
            .attention_mask = golden("attention_mask"),
            .position_ids = golden("position_ids")};
  }

  static std::vector<float> numbers(const Tensor& tensor) {
    return {tensor.as<float>(), tensor.as<float>() + tensor.view().num_elements()};
  }
};

TEST_F(ModelClasses, TheDecoderIsTheSameModel) {
  MiniMaxM2Model decoder = model_.model();
  ForwardInputs with_states = inputs();
  with_states.output_hidden_states = true;
  const auto outputs = model_.forward(with_states);
  EXPECT_EQ(numbers(decoder.forward(inputs()).last_hidden_state),
            numbers(outputs.hidden_states.back()));
  decoder.config().num_hidden_layers = 1;
  EXPECT_EQ(model_.forward(with_states).hidden_states.size(), 2U);
}

TEST_F(ModelClasses, TheDecoderRefusesWhatTheHeadNeeds) {
  MiniMaxM2Model decoder = model_.model();
  ForwardInputs with_labels = inputs();
  with_labels.labels = golden("labels");
  ForwardInputs keeps = inputs();
  keeps.logits_to_keep = std::int64_t{1};
  for (const ForwardInputs& refused : {with_labels, keeps}) {
    try {
      (void)decoder.forward(refused);
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr("belong to MiniMaxM2ForCausalLM"));
    }
  }
}

TEST_F(ModelClasses, TrainingIsAModeOfTheSharedModel) {
  MiniMaxM2Model decoder = model_.model();
  EXPECT_FALSE(model_.training());
  decoder.train();
  EXPECT_TRUE(model_.training());
  model_.eval();
  EXPECT_FALSE(decoder.training());
}

// Two layers of Nq 4, Nkv 2, D 16 and `tables` embeddings of V 96.
constexpr std::int64_t count(std::int64_t hidden, std::int64_t inner, std::int64_t experts,
                             std::int64_t tables) {
  const std::int64_t attention = 2 * 64 * hidden + 2 * 32 * hidden + 64 + 32;
  const std::int64_t moe = experts * 3 * hidden * inner + experts * hidden;
  return tables * 96 * hidden + hidden + 2 * (attention + moe + 2 * hidden);
}

TEST_F(ModelClasses, CountsParametersOnce) {
  EXPECT_EQ(model_.num_parameters(), count(32, 16, 8, 2));
  const auto tied =
      MiniMaxM2ForCausalLM::from_pretrained(test::golden_path("checkpoints/tied").string());
  EXPECT_EQ(tied.num_parameters(), count(24, 20, 4, 1));
}

}  // namespace
}  // namespace m2
