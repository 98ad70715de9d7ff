#include "model/causal_lm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "backends/backends.h"
#include "base/error.h"
#include "ops/reference_backend.h"
#include "support/tiny_model.h"
#include "support/views.h"

namespace m2 {
namespace {

using test::view;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Ints = std::vector<std::int64_t>;

std::shared_ptr<Backend> cpu() { return make_backend("cpu", 1); }

CausalLm tiny_lm(const MiniMaxM2Config& config, const Placement& placement,
                 const std::string& attention = "sdpa") {
  return {config, test::TinyWeights(config, 5).share(), placement, attention};
}

CausalLm tiny_lm(const std::string& attention = "sdpa") {
  const MiniMaxM2Config config = test::tiny_config();
  return tiny_lm(config, Placement::on(cpu(), config.num_hidden_layers), attention);
}

Ints some_ids(std::int64_t count) {
  Ints ids;
  for (std::int64_t i = 0; i < count; ++i) ids.push_back((i * i * 7 + i * 3) % 64 + 3);
  return ids;
}

std::vector<float> numbers(const Tensor& tensor) {
  return {tensor.as<float>(), tensor.as<float>() + tensor.view().num_elements()};
}

double largest_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  double worst = 0;
  for (std::int64_t i = 0; i < a.view().num_elements(); ++i) {
    worst = std::max(worst, std::abs(double{a.as<float>()[i]} - double{b.as<float>()[i]}));
  }
  return worst;
}

TEST(CausalLm, TwoBackendsInOneModel) {
  MiniMaxM2Config config = test::tiny_config();
  config.num_hidden_layers = 4;
  const auto fast = cpu();
  const std::shared_ptr<Backend> plain = std::make_shared<ReferenceBackend>();
  CausalLm one = tiny_lm(config, Placement::on(plain, 4), "eager");
  CausalLm two = tiny_lm(
      config, {fast, {plain, fast, fast, plain}, {plain, fast, plain, fast}, fast}, "eager");
  const Ints ids = some_ids(10);
  ForwardInputs inputs = {.input_ids = view(ids, {2, 5}),
                          .output_hidden_states = true,
                          .output_attentions = true,
                          .output_router_logits = true};
  const auto expected = one.forward(inputs);
  const auto got = two.forward(inputs);
  EXPECT_LE(largest_difference(got.logits, expected.logits), 1e-4);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_LE(largest_difference(got.hidden_states[i], expected.hidden_states[i]), 1e-4) << i;
  }
  for (std::int64_t layer = 0; layer < 4; ++layer) {
    EXPECT_LE(largest_difference(got.past_key_values->values(layer),
                                 expected.past_key_values->values(layer)),
              1e-4)
        << layer;
  }
  EXPECT_NEAR(*got.aux_loss, *expected.aux_loss, 1e-4);
  // Without a cache the layers of a backend take turns in one memory.
  inputs.use_cache = false;
  EXPECT_EQ(numbers(two.forward(inputs).logits), numbers(got.logits));
}

TEST(CausalLm, LayersShareTheMemoryOfOnePass) {
  const auto fast = cpu();
  const std::shared_ptr<Backend> plain = std::make_shared<ReferenceBackend>();
  const KvCache cache({fast, {plain, fast, fast, plain}, {plain, fast, plain, fast}, fast},
                      test::tiny_config(), {.num_tokens = 32, .one_pass = true});
  const auto memory = [&](std::size_t layer) { return cache.layer(layer).keys.data; };
  EXPECT_EQ(memory(0), memory(3));
  EXPECT_EQ(memory(1), memory(2));
  EXPECT_NE(memory(0), memory(1));
}

TEST(CausalLm, TokenByTokenIsOnePass) {
  CausalLm model = tiny_lm();
  constexpr std::int64_t kLength = 80;  // the cache grows several times
  const Ints ids = some_ids(2 * kLength);
  const auto whole = model.forward({.input_ids = view(ids, {2, kLength})});
  const auto cache = std::make_shared<DynamicCache>();
  std::int64_t done = 0;
  for (const std::int64_t length : {33, 1, 1, 30, 1, 14}) {
    Ints part;
    for (const std::int64_t row : {0, 1}) {
      const auto begin = ids.begin() + row * kLength + done;
      part.insert(part.end(), begin, begin + length);
    }
    const auto outputs = model.forward(
        {.input_ids = view(part, {2, length}), .past_key_values = cache, .logits_to_keep = 1});
    done += length;
    EXPECT_EQ(outputs.past_key_values, cache);
    for (std::int64_t row = 0; row < 2; ++row) {
      for (std::int64_t v = 0; v < 67; ++v) {
        ASSERT_NEAR(outputs.logits.as<float>()[row * 67 + v],
                    whole.logits.as<float>()[(row * kLength + done - 1) * 67 + v], 1e-4)
            << "after " << done;
      }
    }
  }
  for (const std::int64_t layer : {0, 1}) {
    EXPECT_EQ(numbers(cache->keys(layer)), numbers(whole.past_key_values->keys(layer)));
    EXPECT_EQ(numbers(cache->values(layer)), numbers(whole.past_key_values->values(layer)));
  }
}

TEST(CausalLm, BareModelGivesTheHeadItsInput) {
  CausalLm model = tiny_lm();
  const Ints ids = some_ids(6);
  const auto outputs =
      model.forward_model({.input_ids = view(ids, {2, 3}), .output_hidden_states = true});
  EXPECT_EQ(outputs.last_hidden_state.shape(), Shape({2, 3, 32}));
  ASSERT_EQ(outputs.hidden_states.size(), 3U);
  EXPECT_EQ(numbers(outputs.hidden_states[2]), numbers(outputs.last_hidden_state));
  EXPECT_EQ(outputs.past_key_values->get_seq_length(), 3);
  EXPECT_THAT(outputs.router_logits, IsEmpty());
}

TEST(CausalLm, EmbeddingsStandForTokens) {
  CausalLm model = tiny_lm();
  const Ints ids = some_ids(4);
  const auto with_ids =
      model.forward({.input_ids = view(ids, {1, 4}), .output_hidden_states = true});
  const auto with_embeddings =
      model.forward({.inputs_embeds = with_ids.hidden_states[0].view(), .use_cache = false});
  EXPECT_EQ(numbers(with_embeddings.logits), numbers(with_ids.logits));
}

TEST(CausalLm, SdpaHasNoAttentions) {
  CausalLm model = tiny_lm();
  const Ints ids = some_ids(2);
  const auto outputs = model.forward({.input_ids = view(ids, {1, 2}), .output_attentions = true});
  EXPECT_THAT(outputs.attentions, IsEmpty());
  EXPECT_THAT(outputs.warnings,
              ElementsAre(HasSubstr("`sdpa` attention does not support `output_attentions=True`")));
  model.config().output_attentions = true;
  EXPECT_THROW((void)model.forward({.input_ids = view(ids, {1, 2})}), Error);
  model.set_attn_implementation("eager");
  EXPECT_EQ(model.forward({.input_ids = view(ids, {1, 2})}).attentions.size(), 2U);
  EXPECT_THROW(model.set_attn_implementation("sdpa"), Error);
  EXPECT_THROW(model.set_attn_implementation("flash_attention_2"), Error);
}

TEST(CausalLm, NoiseActsInTrainingModeOnly) {
  const struct {
    double dropout;
    double jitter;
  } cases[] = {{0.5, 0}, {0, 0.2}};
  const Ints ids = some_ids(6);
  const ForwardInputs inputs = {.input_ids = view(ids, {1, 6}), .use_cache = false};
  for (const auto& c : cases) {
    MiniMaxM2Config config = test::tiny_config();
    config.attention_dropout = c.dropout;
    config.router_jitter_noise = c.jitter;
    CausalLm model = tiny_lm(config, Placement::on(cpu(), config.num_hidden_layers));
    const auto calm = numbers(model.forward(inputs).logits);
    EXPECT_EQ(numbers(model.forward(inputs).logits), calm);
    model.train(true);
    model.manual_seed(7);
    const auto first = numbers(model.forward(inputs).logits);
    const auto second = numbers(model.forward(inputs).logits);
    EXPECT_NE(first, calm);
    EXPECT_NE(first, second);
    model.manual_seed(7);
    EXPECT_EQ(numbers(model.forward(inputs).logits), first);
    EXPECT_EQ(numbers(model.forward(inputs).logits), second);
    model.manual_seed(8);
    EXPECT_NE(numbers(model.forward(inputs).logits), first);
    model.train(false);
    EXPECT_EQ(numbers(model.forward(inputs).logits), calm);
  }
}

TEST(CausalLm, CoefficientOfTheAuxiliaryLossIsReadAtConstruction) {
  CausalLm model = tiny_lm();
  const Ints ids = some_ids(8);
  const ForwardInputs inputs = {
      .input_ids = view(ids, {2, 4}), .output_router_logits = true, .labels = view(ids, {2, 4})};
  const auto before = model.forward(inputs);
  model.config().router_aux_loss_coef = 100;
  EXPECT_EQ(model.forward(inputs).loss, before.loss);
}

TEST(CausalLm, FailsBeforeItTouchesTheCache) {
  CausalLm model = tiny_lm();
  const Ints ids = some_ids(4);
  const Ints mask = {1, 1, 1, 1};
  const auto cache = std::make_shared<DynamicCache>();
  (void)model.forward({.input_ids = view(ids, {1, 2}), .past_key_values = cache});
  // The mask covers the cache, the auxiliary loss wants that of the call.
  const ForwardInputs inputs = {.input_ids = view(ids, {1, 2}),
                                .attention_mask = view(mask, {1, 4}),
                                .past_key_values = cache,
                                .output_router_logits = true};
  EXPECT_THROW((void)model.forward(inputs), Error);
  EXPECT_EQ(cache->get_seq_length(), 2);
}

}  // namespace
}  // namespace m2
