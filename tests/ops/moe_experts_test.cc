#include "ops/moe_experts.h"

#include <gtest/gtest.h>

#include <array>

#include "ops/op_cases.h"
#include "ops/quantized_oracle.h"
#include "ops/reference_backend.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

struct Layer {
  // A type or a block format.
  template <class Kind>
  Layer(Kind kind, std::int64_t num_experts, std::int64_t hidden, std::int64_t inner, unsigned seed)
      : Layer(std::array{kind}, num_experts, hidden, inner, seed) {}

  // The experts' matrices take the kinds in turn.
  template <class Kind, std::size_t N>
  Layer(const std::array<Kind, N>& kinds, std::int64_t num_experts, std::int64_t hidden,
        std::int64_t inner, unsigned seed)
      : random(seed) {
    const auto add = [&](std::int64_t rows, std::int64_t cols) {
      storage.emplace_back(kinds[storage.size() % N], rows, cols, random);
    };
    for (std::int64_t e = 0; e < num_experts; ++e) {
      add(inner, hidden);
      add(inner, hidden);
      add(hidden, inner);
    }
    for (std::size_t i = 0; i < storage.size(); i += 3) {
      experts.push_back(
          {.gate = storage[i].view(), .up = storage[i + 1].view(), .down = storage[i + 2].view()});
    }
  }

  Random random;
  std::vector<StoredWeight> storage;
  std::vector<ExpertWeights> experts;
};

struct Batch {
  Batch(Layer& layer, std::int64_t tokens, std::int64_t top_k)
      : hidden_states(layer.random.tensor({tokens, layer.experts[0].gate.cols}, 0.2F)),
        ids(DType::kI32, {tokens, top_k}),
        weights(layer.random.tensor({tokens, top_k})),
        output(layer.random.tensor({tokens, layer.experts[0].gate.cols})) {
    const auto num_experts = static_cast<std::int64_t>(layer.experts.size());
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int64_t first = layer.random.below(num_experts);
      for (std::int64_t j = 0; j < top_k; ++j) {  // distinct, in no order
        ids.as<std::int32_t>()[t * top_k + j] =
            static_cast<std::int32_t>((first + j * 3) % num_experts);
      }
    }
  }

  [[nodiscard]] MoeExpertsArgs args(const Layer& layer, Activation activation) const {
    return {.hidden_states = hidden_states.view(),
            .topk_ids = ids.view(),
            .topk_weights = weights.view(),
            .experts = layer.experts,
            .activation = activation,
            .output = output.view()};
  }

  Tensor hidden_states;
  Tensor ids;
  Tensor weights;
  Tensor output;
};

// A vector of float64 with a bound of the error that float32 arithmetic may add.
struct Bounded {
  std::vector<double> values;
  std::vector<double> errors;
};

// What weights in strips are multiplied with. Values that are known exactly have known codes;
// others are off by half a step of their group more.
Bounded quantized(Bounded input) {
  for (std::size_t begin = 0; begin < input.values.size(); begin += 128) {
    const std::size_t end = std::min(begin + 128, input.values.size());
    const std::span values(input.values.begin() + static_cast<std::ptrdiff_t>(begin), end - begin);
    const std::span errors(input.errors.begin() + static_cast<std::ptrdiff_t>(begin), end - begin);
    if (std::ranges::all_of(errors, [](double error) { return error == 0.0; })) {
      const std::vector<float> exact(values.begin(), values.end());
      const auto groups = test::quantize_block(exact);
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = groups[i / 32].codes[i % 32] * double{groups[i / 32].scale};
      }
      continue;
    }
    double largest = 0.0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      largest = std::max(largest, std::fabs(values[i]) + errors[i]);
    }
    for (double& error : errors) error += (0.5 + 1e-4) * largest / 127.0;
  }
  return input;
}

Bounded multiply(const WeightView& weight, const Bounded& plain, const std::string& target,
                 bool quantizes) {
  const bool strips = quantizes && weight.block_format != BlockFormat::kNone;
  const Bounded input = strips ? quantized(plain) : plain;
  const auto weights = test::decode(weight);
  const double roundings =
      strips ? test::group_roundings(weight.cols) : test::dot_roundings(weight.cols, target) + 1.0;
  const double unit = roundings * test::kUnitRoundoff;
  Bounded result;
  for (std::int64_t n = 0; n < weight.rows; ++n) {
    double sum = 0.0;
    double error = 0.0;
    for (std::int64_t k = 0; k < weight.cols; ++k) {
      const double w = weights[static_cast<std::size_t>(n * weight.cols + k)];
      const auto i = static_cast<std::size_t>(k);
      sum += w * input.values[i];
      error += std::fabs(w) * input.errors[i] +
               unit * std::fabs(w) * (std::fabs(input.values[i]) + input.errors[i]);
    }
    result.values.push_back(sum);
    result.errors.push_back(error);
  }
  return result;
}

// act has a slope of at most 1.2 for the activations used here.
Bounded gated(Bounded gate, const Bounded& up, Activation activation) {
  for (std::size_t i = 0; i < gate.values.size(); ++i) {
    const double g = gate.values[i];
    const double act = activation == Activation::kSilu ? g / (1.0 + std::exp(-g))
                                                       : 0.5 * g * std::erfc(-g / std::sqrt(2.0));
    gate.errors[i] = 1.2 * gate.errors[i] * std::fabs(up.values[i]) +
                     std::fabs(act) * up.errors[i] + 1.2 * gate.errors[i] * up.errors[i] +
                     8.0 * test::kUnitRoundoff * std::fabs(g * up.values[i]);
    gate.values[i] = act * up.values[i];
  }
  return gate;
}

Bounded expected_output(const Layer& layer, const Batch& batch, Activation activation,
                        const std::string& target, bool quantizes) {
  const std::int64_t hidden_size = batch.hidden_states.shape()[1];
  const std::int64_t top_k = batch.ids.shape()[1];
  Bounded all;
  for (std::int64_t t = 0; t < batch.ids.shape()[0]; ++t) {
    const float* x = batch.hidden_states.as<float>() + t * hidden_size;
    const Bounded input{{x, x + hidden_size},
                        std::vector<double>(static_cast<std::size_t>(hidden_size), 0.0)};
    const float* start = batch.output.as<float>() + t * hidden_size;
    Bounded sum{{start, start + hidden_size}, {}};
    for (const double value : sum.values) sum.errors.push_back(std::fabs(value));
    for (double& error : sum.errors) error *= test::kUnitRoundoff;
    for (std::int64_t j = t * top_k; j < (t + 1) * top_k; ++j) {
      const auto& expert = layer.experts[static_cast<std::size_t>(batch.ids.as<std::int32_t>()[j])];
      const auto inner = gated(multiply(expert.gate, input, target, quantizes),
                               multiply(expert.up, input, target, quantizes), activation);
      const auto down = multiply(expert.down, inner, target, quantizes);
      const double weight = batch.weights.as<float>()[j];
      for (std::size_t i = 0; i < sum.values.size(); ++i) {
        sum.values[i] += weight * down.values[i];
        sum.errors[i] += std::fabs(weight) * down.errors[i] +
                         static_cast<double>(top_k + 3) * test::kUnitRoundoff *
                             std::fabs(weight * down.values[i]);
      }
    }
    all.values.insert(all.values.end(), sum.values.begin(), sum.values.end());
    all.errors.insert(all.errors.end(), sum.errors.begin(), sum.errors.end());
  }
  return all;
}

class MoeExpertsTest : public testing::TestWithParam<test::BackendCase> {
 protected:
  MoeExpertsTest() : backend_(GetParam().num_threads, GetParam().target) {}
  void expect_matches(Layer& layer) {
    ReferenceBackend plain;
    for (const Activation activation : {Activation::kSilu, Activation::kGelu}) {
      for (const std::int64_t tokens : {0, 1, 2, 9, 40}) {
        for (Backend* tested : {static_cast<Backend*>(&backend_), static_cast<Backend*>(&plain)}) {
          SCOPED_TRACE(testing::Message() << tested->description() << " T " << tokens);
          const Batch batch(layer, tokens, 2);
          const auto expected = expected_output(layer, batch, activation, GetParam().target,
                                                /*quantizes=*/tested == &backend_);
          tested->moe_experts(batch.args(layer, activation));
          test::expect_close(test::floats(batch.output), expected.values, expected.errors);
        }
      }
    }
  }

  CpuBackend backend_;
};

TEST_P(MoeExpertsTest, MatchesFloat64) {
  for (const DType dtype : test::kWeightTypes) {
    SCOPED_TRACE(dtype_name(dtype));
    Layer layer(dtype, 8, 150, 67, 11);
    expect_matches(layer);
  }
}

TEST_P(MoeExpertsTest, StripsMatchExactSumsOfQuantisedActivations) {
  for (const BlockFormat format : test::kStripFormats) {
    SCOPED_TRACE(block_format_name(format));
    Layer layer(format, 8, 150, 67, 14);
    expect_matches(layer);
  }
}

// A recipe may give every matrix a format of its own.
TEST_P(MoeExpertsTest, FormatsMix) {
  Layer layer(BlockFormat::kInt4G128, 4, 150, 67, 15);
  Layer plain(DType::kBF16, 4, 150, 67, 16);
  layer.experts[0].down = plain.experts[0].down;
  layer.experts[1].gate = plain.experts[1].gate;
  layer.experts[2] = plain.experts[2];
  expect_matches(layer);
}

// Integer sums are exact and the rest is fused the same way.
TEST(MoeExpertsStrips, SetsWithFusedProductsAgreeOnStrips) {
  for (const BlockFormat format : test::kStripFormats) {
    for (const std::int64_t tokens : {1, 37}) {
      std::vector<Tensor> outputs;
      for (const auto& target : test::targets_with_fused_products()) {
        Layer layer(format, 6, 300, 140, 17);
        const Batch batch(layer, tokens, 3);
        CpuBackend(2, target).moe_experts(batch.args(layer, Activation::kSilu));
        outputs.push_back(Tensor::copy_of(batch.output.view()));
        test::expect_same_bits(test::floats(outputs.back()), test::floats(outputs.front()));
      }
    }
  }
}

TEST_P(MoeExpertsTest, TokensAreIndependent) {
  CpuBackend single_backend(1, GetParam().target);
  std::vector<Layer> layers;
  layers.emplace_back(DType::kBF16, 6, 300, 140, 12);
  layers.emplace_back(DType::kF8E4M3, 6, 300, 140, 12);
  for (const BlockFormat format : test::kStripFormats) layers.emplace_back(format, 6, 300, 140, 12);
  for (Layer& layer : layers) {
    const Batch batch(layer, 37, 3);
    const Tensor alone(DType::kF32, batch.output.shape());
    std::copy_n(batch.output.as<float>(), 37 * 300, alone.as<float>());
    backend_.moe_experts(batch.args(layer, Activation::kSilu));
    for (std::int64_t t = 0; t < 37; ++t) {
      single_backend.moe_experts(
          {.hidden_states = {batch.hidden_states.as<float>() + t * 300, DType::kF32, {1, 300}},
           .topk_ids = {batch.ids.as<std::int32_t>() + t * 3, DType::kI32, {1, 3}},
           .topk_weights = {batch.weights.as<float>() + t * 3, DType::kF32, {1, 3}},
           .experts = layer.experts,
           .output = {alone.as<float>() + t * 300, DType::kF32, {1, 300}}});
    }
    test::expect_same_bits(test::floats(batch.output), test::floats(alone));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, MoeExpertsTest, testing::ValuesIn(test::backend_cases()));

TEST(MoeExpertsContract, NamesWhatDoesNotMatch) {
  Layer layer(DType::kF32, 3, 8, 4, 13);
  const Batch batch(layer, 2, 2);
  layer.experts[2].down.cols = 5;
  test::expect_contract_error([&] { check(batch.args(layer, Activation::kSilu)); },
                              {"moe_experts: expert 2", "down [8, 5]"});
}

}  // namespace
}  // namespace m2
