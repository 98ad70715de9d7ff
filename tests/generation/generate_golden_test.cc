// generate() against what transformers returns: tests/golden/generate.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "generation/generate/generate.h"
#include "m2/error.h"
#include "support/generating_checkpoint.h"
#include "support/paths.h"

namespace m2 {
namespace {

using nlohmann::json;

// The bound of the project for float32 scores of order ten.
constexpr double kBound = 1e-4;

const json& cases() {
  static const json kCases = json::parse(test::read_file(test::golden_path("generate/cases.json")));
  return kCases;
}

Tensor tensor_of(const json& rows) {
  const bool is_flat = !rows[0].is_array();
  const auto columns = static_cast<std::int64_t>(is_flat ? rows.size() : rows[0].size());
  Tensor tensor(DType::kI64, is_flat ? Shape({columns})
                                     : Shape({static_cast<std::int64_t>(rows.size()), columns}));
  auto* next = tensor.as<std::int64_t>();
  for (const json& row : is_flat ? json::array({rows}) : rows) {
    for (const json& id : row) *next++ = id.get<std::int64_t>();
  }
  return tensor;
}

// Adds 3 to the score of one id that depends on the length and the last token.
void bump(std::span<const std::int32_t> ids, std::int64_t /*row*/, std::span<float> scores) {
  scores[(7 * ids.size() + static_cast<std::size_t>(ids.back())) % scores.size()] += 3.0F;
}

std::vector<std::int32_t> allowed(std::int64_t batch_index, std::span<const std::int32_t> ids) {
  std::vector<std::int32_t> next;
  for (std::int32_t id = 0; id < 96; ++id) {
    if ((id + ids.back() + batch_index) % 3 == 0) next.push_back(id);
  }
  return next;
}

// The largest error of every kind of output.
std::map<std::string, double>& worst_errors() {
  static std::map<std::string, double> errors;
  return errors;
}

class GenerateGolden : public testing::TestWithParam<std::size_t> {
 protected:
  static void TearDownTestSuite() {
    for (const auto& [name, error] : worst_errors()) {
      std::printf("parity generate %-17s %.1e\n", name.c_str(), error);
    }
  }

  [[nodiscard]] const json& golden() const { return cases()[GetParam()]; }
  [[nodiscard]] bool has(const char* key) const { return golden().contains(key); }

  // A view of a list of rows that the test keeps.
  TensorView view(const char* key) {
    if (!has(key)) return {};
    kept_.push_back(tensor_of(golden()[key]));
    return kept_.back().view();
  }

  GenerateInputs inputs() {
    GenerateInputs inputs;
    inputs.input_ids = view("ids");
    inputs.attention_mask = view("mask");
    inputs.position_ids = view("positions");
    if (has("embeds_of")) {
      kept_.push_back(model_.embed(tensor_of(golden()["embeds_of"])));
      inputs.inputs_embeds = kept_.back().view();
    }
    if (has("past")) inputs.past_key_values = past(golden()["past"].get<std::int64_t>());
    return inputs;
  }

  std::shared_ptr<Cache> past(std::int64_t length) {
    std::shared_ptr<Cache> cache = std::make_shared<DynamicCache>();
    if (has("static_past")) cache = std::make_shared<StaticCache>(64);
    json ids = golden()["ids"];
    ids[0].erase(ids[0].begin() + length, ids[0].end());
    const Tensor first = tensor_of(ids);
    (void)model_.model().forward({.input_ids = first.view(), .past_key_values = cache});
    return cache;
  }

  GenerateOptions options() {
    GenerateOptions options;
    options.strict = golden().value("strict", false);
    options.negative_prompt_ids = view("negative");
    options.negative_prompt_attention_mask = view("negative_mask");
    if (has("allowed")) options.prefix_allowed_tokens_fn = allowed;
    if (has("processor")) options.logits_processor.push_back({.name = "bump", .process = bump});
    if (has("stopping")) {
      options.stopping_criteria.emplace_back(
          [](std::span<const std::int32_t> ids, std::int64_t) { return ids.back() % 4 == 0; });
    }
    if (golden()["options"].contains("stop_strings") && !has("no_tokenizer")) {
      tokenizer_ = Tokenizer::from_pretrained(model_.directory());
      options.tokenizer = &*tokenizer_;
    }
    return options;
  }

  GenerateOutput run() {
    GenerationConfig call;
    call.update_from_json(golden()["options"].dump());
    call.update_from_json(R"({"do_sample": false})");
    std::optional<test::GeneratingCheckpoint> assistant;
    if (has("assistant")) {
      assistant.emplace(directory_of(golden()["assistant"].get<std::string>()));
      assistant->generation_config().update_from_json(
          golden().value("assistant_options", json::object()).dump());
    }
    const GenerateOptions arguments = options();
    return generation::generate(model_.model(), assistant ? &assistant->model() : nullptr, inputs(),
                                call, arguments);
  }

  static std::filesystem::path directory_of(const std::string& name) {
    return name == "tiny-agent" ? test::shipped_model() : test::golden_path("checkpoints/" + name);
  }

  std::vector<Tensor> kept_;
  std::optional<Tokenizer> tokenizer_;
  test::GeneratingCheckpoint model_{directory_of(golden().value("model", "gqa"))};
};

json rows_of(const Tensor& sequences) {
  json rows = json::array();
  const auto columns = sequences.shape()[1];
  for (std::int64_t row = 0; row < sequences.shape()[0]; ++row) {
    const auto* ids = sequences.as<std::int64_t>() + row * columns;
    rows.push_back(std::vector<std::int64_t>(ids, ids + columns));
  }
  return rows;
}

// The largest difference of finite elements; infinities have to be the same.
void expect_close(const Tensor& ours, const float* theirs, const std::string& name) {
  double worst = 0;
  for (std::int64_t i = 0; i < ours.shape().num_elements(); ++i) {
    const float a = ours.as<float>()[i];
    const float b = theirs[i];
    if (a == b) continue;
    ASSERT_TRUE(std::isfinite(a) && std::isfinite(b))
        << name << "[" << i << "]: " << a << ", " << b;
    worst = std::max(worst, std::abs(static_cast<double>(a) - b));
  }
  EXPECT_LT(worst, kBound) << name;
  double& recorded = worst_errors()[name.substr(0, name.find('.'))];
  recorded = std::max(recorded, worst);
}

class RecordedArrays {
 public:
  explicit RecordedArrays(std::string prefix) : prefix_(std::move(prefix)) {}

  [[nodiscard]] std::optional<TensorView> find(const std::string& name) const {
    for (const auto& entry : file_.entries()) {
      if (entry.name == prefix_ + name) return entry.view;
    }
    return std::nullopt;
  }

  void compare_steps(const std::vector<Tensor>& ours, const std::string& name) const {
    const auto theirs = find(name);
    ASSERT_EQ(theirs.has_value(), !ours.empty()) << name;
    if (!theirs) return;
    ASSERT_EQ(static_cast<std::int64_t>(ours.size()), theirs->shape[0]) << name;
    const float* next = theirs->as<float>();
    for (const Tensor& step : ours) {
      ASSERT_EQ(step.shape(), Shape({theirs->shape[1], theirs->shape[2]})) << name;
      expect_close(step, next, name);
      next += step.shape().num_elements();
    }
  }

  void compare_layers(const std::vector<std::vector<Tensor>>& ours, const std::string& name) const {
    for (std::size_t step = 0; step < 2 && find(name + ".0.0"); ++step) {
      ASSERT_GT(ours.size(), step) << name;
      for (std::size_t layer = 0; layer < ours[step].size(); ++layer) {
        const std::string part = name + "." + std::to_string(step) + "." + std::to_string(layer);
        const auto theirs = find(part);
        ASSERT_TRUE(theirs.has_value()) << part;
        ASSERT_EQ(ours[step][layer].shape(), theirs->shape) << part;
        expect_close(ours[step][layer], theirs->as<float>(), part);
      }
    }
  }

 private:
  std::string prefix_;
  SafetensorsFile file_{test::golden_path("generate/arrays.safetensors")};
};

TEST_P(GenerateGolden, GivesTheReferencesSequencesAndScores) {
  if (has("error")) {
    EXPECT_THROW((void)run(), Error) << golden()["error"];
    return;
  }
  const GenerateOutput output = run();
  EXPECT_EQ(rows_of(output.sequences), golden()["sequences"]);
  const RecordedArrays recorded(golden()["name"].get<std::string>() + "/");
  recorded.compare_steps(output.scores, "scores");
  recorded.compare_steps(output.logits, "logits");
  recorded.compare_layers(output.hidden_states, "hidden_states");
  recorded.compare_layers(output.attentions, "attentions");
  if (const auto theirs = recorded.find("sequences_scores")) {
    ASSERT_EQ(output.sequences_scores.shape(), theirs->shape);
    expect_close(output.sequences_scores, theirs->as<float>(), "sequences_scores");
  }
  if (const auto theirs = recorded.find("beam_indices")) {
    ASSERT_EQ(output.beam_indices.shape(), theirs->shape);
    for (std::int64_t i = 0; i < theirs->num_elements(); ++i) {
      EXPECT_EQ(output.beam_indices.as<std::int32_t>()[i], theirs->as<std::int32_t>()[i]) << i;
    }
  }
}

std::string name_of(const testing::TestParamInfo<std::size_t>& info) {
  std::string name = cases()[info.param]["name"].get<std::string>();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return std::to_string(info.param) + "_" + name;
}

INSTANTIATE_TEST_SUITE_P(All, GenerateGolden, testing::Range(std::size_t{0}, cases().size()),
                         name_of);

}  // namespace
}  // namespace m2
