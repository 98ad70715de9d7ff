// Every argument of forward against what transformers returns: tests/golden/forward.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "backends/backends.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"
#include "model/causal_lm.h"
#include "support/paths.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

// Of float32 outputs of order one.
constexpr double kBound = 2e-5;

Json load_cases() { return Json::parse(test::read_file(test::golden_path("forward/cases.json"))); }

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  const Json cases = load_cases();
  for (const auto& [name, value] : cases.items()) names.push_back(name);
  return names;
}

void flatten(const Json& value, std::vector<double>& numbers, std::vector<std::int64_t>& shape,
             std::size_t depth = 0) {
  if (!value.is_array()) {
    numbers.push_back(value.is_boolean() ? (value.get<bool>() ? 1 : 0) : value.get<double>());
    return;
  }
  if (depth == shape.size()) shape.push_back(static_cast<std::int64_t>(value.size()));
  for (const Json& item : value) flatten(item, numbers, shape, depth + 1);
}

// Nested lists as torch.tensor reads them: booleans, integers or floats.
Tensor tensor_of(const Json& value) {
  std::vector<double> numbers;
  std::vector<std::int64_t> dims;
  flatten(value, numbers, dims);
  const std::string text = value.dump();
  const bool is_bool = text.find_first_of("tf") != std::string::npos;
  const bool is_float = text.find('.') != std::string::npos;
  const DType dtype = is_bool ? DType::kBool : is_float ? DType::kF32 : DType::kI64;
  Tensor tensor(dtype, Shape(dims));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (is_bool) {
      static_cast<std::uint8_t*>(tensor.view().data)[i] = numbers[i] != 0 ? 1 : 0;
    } else if (is_float) {
      tensor.as<float>()[i] = static_cast<float>(numbers[i]);
    } else {
      tensor.as<std::int64_t>()[i] = static_cast<std::int64_t>(numbers[i]);
    }
  }
  return tensor;
}

std::vector<std::int64_t> integers(const Json& value) {
  return value.get<std::vector<std::int64_t>>();
}

class ForwardGolden : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const auto directory = test::golden_path("checkpoints/gqa");
    const MiniMaxM2Config config = MiniMaxM2Config::from_pretrained(directory);
    auto weights =
        std::make_shared<const ModelWeights>(load_weights(config, Checkpoint::open(directory)));
    model_ = std::make_unique<CausalLm>(
        config, weights,
        Placement::on(std::shared_ptr<Backend>(make_backend("cpu", 1)), config.num_hidden_layers),
        case_["attention"].get<std::string>());
    apply_config(case_["config"]);
    const Json& cache = case_["cache"];
    if (cache == "dynamic") cache_ = std::make_shared<DynamicCache>();
    if (cache == "static") cache_ = std::make_shared<StaticCache>(8);
    const std::string prefix = GetParam() + "/";
    for (const auto& entry : file_.entries()) {
      if (entry.name.starts_with(prefix)) golden_[entry.name.substr(prefix.size())] = entry.view;
    }
  }

  void apply_config(const Json& changes) {
    MiniMaxM2Config& config = model_->config();
    for (const auto& [key, value] : changes.items()) {
      if (key == "output_router_logits") {
        config.output_router_logits = value;
      } else if (key == "use_cache") {
        config.use_cache = value;
      } else if (key == "num_hidden_layers") {
        config.num_hidden_layers = value;
      } else if (key == "output_hidden_states") {
        config.output_hidden_states = value;
      } else if (key == "output_attentions") {
        config.output_attentions = value;
      } else {
        ADD_FAILURE() << "unknown key " << key;
      }
    }
  }

  ForwardInputs inputs_of(const Json& call, const std::string& step) {
    ForwardInputs inputs = {.past_key_values = cache_};
    const std::map<std::string, TensorView*> tensors = {{"input_ids", &inputs.input_ids},
                                                        {"attention_mask", &inputs.attention_mask},
                                                        {"position_ids", &inputs.position_ids},
                                                        {"cache_position", &inputs.cache_position},
                                                        {"labels", &inputs.labels},
                                                        {"shift_labels", &inputs.shift_labels}};
    const std::map<std::string, std::optional<bool>*> flags = {
        {"use_cache", &inputs.use_cache},
        {"output_hidden_states", &inputs.output_hidden_states},
        {"output_attentions", &inputs.output_attentions},
        {"output_router_logits", &inputs.output_router_logits}};
    for (const auto& [key, value] : call.items()) {
      if (tensors.contains(key)) {
        *tensors.at(key) = keep(value);
      } else if (flags.contains(key)) {
        *flags.at(key) = value.get<bool>();
      } else if (key == "inputs_embeds") {
        inputs.inputs_embeds = take(step + key);
      } else if (key == "ignore_index") {
        inputs.ignore_index = value;
      } else if (key == "num_items_in_batch") {
        inputs.num_items_in_batch = value.get<double>();
      } else if (key == "logits_to_keep" && value.is_array()) {
        inputs.logits_to_keep = keep(value);
      } else if (key == "logits_to_keep") {
        inputs.logits_to_keep = value.get<std::int64_t>();
      } else {
        ADD_FAILURE() << "unknown argument " << key;
      }
    }
    return inputs;
  }

  void run_call(const Json& step, const std::string& prefix) {
    const ForwardInputs inputs = inputs_of(step["call"], prefix);
    const MoeCausalLMOutputWithPast outputs = model_->forward(inputs);
    compare(prefix + "logits", outputs.logits.view());
    compare_all(prefix + "hidden_states.", outputs.hidden_states);
    compare_all(prefix + "attentions.", outputs.attentions);
    compare_all(prefix + "router_logits.", outputs.router_logits);
    compare_scalar(prefix + "loss", outputs.loss);
    compare_scalar(prefix + "aux_loss", outputs.aux_loss);
    EXPECT_EQ(outputs.past_key_values != nullptr, step["returns_cache"].get<bool>());
  }

  void run_operation(const std::string& name, const Json& value) {
    if (name == "crop") return cache_->crop(value);
    if (name == "reorder_cache") return cache_->reorder_cache(integers(value));
    if (name == "batch_repeat_interleave") return cache_->batch_repeat_interleave(value);
    ASSERT_EQ(name, "batch_select_indices");
    cache_->batch_select_indices(integers(value));
  }

  void compare(const std::string& name, const TensorView& ours) {
    ASSERT_TRUE(golden_.contains(name)) << name << " should be absent";
    const TensorView theirs = take(name);
    ASSERT_EQ(ours.shape, theirs.shape) << name;
    for (std::int64_t i = 0; i < ours.num_elements(); ++i) {
      ASSERT_NEAR(ours.as<float>()[i], theirs.as<float>()[i], kBound) << name << "[" << i << "]";
    }
  }

  void compare_all(const std::string& name, const std::vector<Tensor>& ours) {
    for (std::size_t i = 0; i < ours.size(); ++i) compare(name + std::to_string(i), ours[i].view());
  }

  void compare_scalar(const std::string& name, std::optional<float> ours) {
    if (ours) compare(name, {&*ours, DType::kF32, Shape{}});
  }

  // What is left at the end was not returned by us.
  TensorView take(const std::string& name) { return golden_.extract(name).mapped(); }

  TensorView keep(const Json& value) { return kept_.emplace_back(tensor_of(value)).view(); }

  Json case_ = load_cases()[GetParam()];
  SafetensorsFile file_{test::golden_path("forward/outputs.safetensors")};
  std::map<std::string, TensorView> golden_;
  std::unique_ptr<CausalLm> model_;
  std::shared_ptr<Cache> cache_;
  std::vector<Tensor> kept_;
};

TEST_P(ForwardGolden, MatchesTheReference) {
  const Json& steps = case_["steps"];
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].contains("call")) {
      run_call(steps[i], std::to_string(i) + "/");
    } else {
      for (const auto& [name, value] : steps[i].items()) run_operation(name, value);
    }
  }
  if (cache_) {
    compare("keys.0", cache_->keys(0).view());
    compare("values.1", cache_->values(1).view());
  }
  for (const auto& [name, view] : golden_) ADD_FAILURE() << name << " was not returned";
}

INSTANTIATE_TEST_SUITE_P(Cases, ForwardGolden, testing::ValuesIn(case_names()),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace m2
