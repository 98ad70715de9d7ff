#include "engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "engine_stack.h"
#include "support/distant_backend.h"
#include "support/views.h"

namespace m2 {
namespace {

using test::EngineStack;
using test::Outcome;
using test::prompt_of;
using test::request_of;
using test::run;
using testing::HasSubstr;

// Greedy continuation by whole forward passes, without cache or engine.
std::vector<std::int32_t> naive_greedy(CausalLm& model, std::vector<std::int32_t> ids,
                                       std::size_t count) {
  std::vector<std::int32_t> tokens;
  while (tokens.size() < count) {
    const auto length = static_cast<std::int64_t>(ids.size());
    const auto outputs = model.forward(
        {.input_ids = test::view(ids, {1, length}), .use_cache = false, .logits_to_keep = 1});
    const float* logits = outputs.logits.as<float>();
    const auto token = static_cast<std::int32_t>(
        std::max_element(logits, logits + model.config().vocab_size) - logits);
    tokens.push_back(token);
    ids.push_back(token);
  }
  return tokens;
}

TEST(Engine, BatchesGiveWhatEverySequenceGivesAlone) {
  EngineStack stack;
  // Small blocks and steps force chunked prefill, waiting and ragged batches.
  Engine engine(
      stack.model,
      {.max_batch_tokens = 8, .max_seqs = 3, .kv_cache = {.num_tokens = 96, .block_size = 4}});
  std::map<RequestId, std::vector<std::int32_t>> expected;
  for (const std::size_t length : {1, 2, 9, 17, 30, 5, 8}) {
    const auto prompt = prompt_of(length, static_cast<std::int32_t>(length));
    const RequestId id = engine.submit(request_of(prompt, 12));
    expected[id] = naive_greedy(stack.causal_lm, prompt, 12);
  }
  const auto outcomes = run(engine);
  ASSERT_EQ(outcomes.size(), expected.size());
  for (const auto& [id, tokens] : expected) {
    EXPECT_EQ(outcomes.at(id).tokens, tokens) << "request " << id;
    EXPECT_EQ(outcomes.at(id).finish_reason, FinishReason::kLength);
  }
}

TEST(Engine, LeftPaddingChangesNothing) {
  EngineStack stack;
  Engine engine(stack.model, {.kv_cache = {.num_tokens = 128, .block_size = 8}});
  const auto prompt = prompt_of(6, 1);
  const RequestId plain = engine.submit(request_of(prompt, 10));
  EngineRequest padded = request_of({2, 2, 2}, 0);
  padded.prompt_ids.insert(padded.prompt_ids.end(), prompt.begin(), prompt.end());
  padded.prompt_mask = {0, 0, 0, 1, 1, 1, 1, 1, 1};
  padded.config.max_length = 19;
  const RequestId masked = engine.submit(std::move(padded));
  const auto outcomes = run(engine);
  EXPECT_EQ(outcomes.at(plain).tokens, outcomes.at(masked).tokens);
}

TEST(Engine, EndsAtTheEndToken) {
  EngineStack stack;
  Engine engine(stack.model, {.kv_cache = {.num_tokens = 128}});
  const auto prompt = prompt_of(4, 2);
  const auto tokens = naive_greedy(stack.causal_lm, prompt, 8);
  EngineRequest request = request_of(prompt, 8);
  request.config.eos_token_id = {{tokens[3]}};
  const RequestId id = engine.submit(std::move(request));
  const Outcome outcome = run(engine).at(id);
  const auto end = std::find(tokens.begin(), tokens.end(), tokens[3]) + 1;
  EXPECT_EQ(outcome.tokens, std::vector<std::int32_t>(tokens.begin(), end));
  EXPECT_EQ(outcome.finish_reason, FinishReason::kStop);
}

TEST(Engine, SamplingDependsOnSeedAndStreamOnly) {
  EngineStack stack;
  const auto sample = [&](std::uint64_t seed, std::uint32_t stream, int companions) {
    Engine engine(stack.model, {.kv_cache = {.num_tokens = 512}});
    for (int i = 0; i < companions; ++i) (void)engine.submit(request_of(prompt_of(5, i), 9));
    EngineRequest request = request_of(prompt_of(7, 4), 16);
    request.config.do_sample = true;
    request.seed = seed;
    request.stream = stream;
    const RequestId id = engine.submit(std::move(request));
    return run(engine).at(id).tokens;
  };
  EXPECT_EQ(sample(1, 0, 0), sample(1, 0, 5));
  EXPECT_NE(sample(1, 0, 0), sample(2, 0, 0));
  EXPECT_NE(sample(1, 0, 0), sample(1, 1, 0));
}

TEST(Engine, CancelGivesTheBlocksBack) {
  EngineStack stack;
  Engine engine(stack.model, {.kv_cache = {.num_tokens = 32, .block_size = 4}});
  const RequestId first = engine.submit(request_of(prompt_of(25, 1), 6));
  const RequestId second = engine.submit(request_of(prompt_of(8, 2), 24));  // has to wait
  (void)engine.step();
  engine.cancel(first);
  engine.cancel(12345);
  const auto outcomes = run(engine);
  EXPECT_EQ(outcomes.at(first).finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(outcomes.at(second).tokens.size(), 24U);
}

TEST(Engine, CancelsInPrefillAndWhileWaiting) {
  EngineStack stack;
  Engine engine(
      stack.model,
      {.max_batch_tokens = 4, .max_seqs = 1, .kv_cache = {.num_tokens = 64, .block_size = 4}});
  const RequestId long_prompt = engine.submit(request_of(prompt_of(40, 1), 4));
  const RequestId waiting = engine.submit(request_of(prompt_of(8, 2), 4));
  const RequestId last = engine.submit(request_of(prompt_of(8, 3), 4));
  EXPECT_TRUE(engine.step().empty());  // 4 tokens of 40
  engine.cancel(long_prompt);
  engine.cancel(waiting);
  const auto outcomes = run(engine);
  for (const RequestId id : {long_prompt, waiting}) {
    EXPECT_EQ(outcomes.at(id).finish_reason, FinishReason::kCancelled) << id;
    EXPECT_TRUE(outcomes.at(id).tokens.empty()) << id;
  }
  EXPECT_EQ(outcomes.at(last).tokens.size(), 4U);
}

// Some requests are settled by the best logits, others need whole rows, side by side in a batch.
TEST(Engine, MemoryOfADeviceGivesTheSameTokens) {
  std::vector<std::map<RequestId, Outcome>> outcomes;
  for (const std::shared_ptr<Backend>& backend :
       {std::shared_ptr<Backend>(std::make_shared<ReferenceBackend>()),
        std::shared_ptr<Backend>(std::make_shared<test::DistantBackend>())}) {
    EngineStack stack(backend);
    Engine engine(stack.model, {.kv_cache = {.num_tokens = 256, .block_size = 8}});
    for (const char* options :
         {"{}", R"({"do_sample": true, "top_k": 40, "top_p": 0.95})", R"({"do_sample": true})",
          R"({"repetition_penalty": 1.3})", R"({"do_sample": true, "top_k": 66})"}) {
      EngineRequest request = request_of(prompt_of(6, 3), 12);
      request.config = request.config.merge(GenerationConfig::from_json(options));
      (void)engine.submit(std::move(request));
    }
    outcomes.push_back(run(engine));
    if (const auto* distant = dynamic_cast<const test::DistantBackend*>(backend.get())) {
      EXPECT_GT(distant->num_repeated_steps(), 0);
    }
  }
  for (const auto& [id, outcome] : outcomes[0]) {
    EXPECT_EQ(outcome.tokens.size(), 12U) << id;
    EXPECT_EQ(outcome.tokens, outcomes[1].at(id).tokens) << id;
  }
}

TEST(Engine, NeverChoosesIdsWithoutAToken) {
  EngineStack stack;
  Engine engine(stack.model, {.kv_cache = {.num_tokens = 128}, .num_valid_tokens = 5});
  const RequestId id = engine.submit(request_of(prompt_of(6, 3), 20));
  const Outcome outcome = run(engine).at(id);
  EXPECT_EQ(outcome.tokens.size(), 20U);
  EXPECT_THAT(outcome.tokens, testing::Each(testing::Lt(5)));
}

TEST(Engine, RefusesWhatCannotBeDone) {
  EngineStack stack;
  Engine engine(stack.model, {.kv_cache = {.num_tokens = 32, .block_size = 4}});
  try {
    (void)engine.submit(request_of(prompt_of(8, 1), 26));
    FAIL() << "did not throw";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    EXPECT_THAT(error.what(), HasSubstr("33 tokens of context"));
  }
  EXPECT_THROW((void)engine.submit(request_of({}, 4)), Error);
  EXPECT_THROW((void)engine.submit(request_of({67}, 4)), Error);
  for (const char* option :
       {R"({"num_beams": 2})", R"({"do_sample": true, "num_return_sequences": 2})",
        R"({"prompt_lookup_num_tokens": 2})", R"({"guidance_scale": 1.5})",
        R"({"cache_implementation": "static"})"}) {
    EngineRequest request = request_of(prompt_of(8, 1), 4);
    request.config = request.config.merge(GenerationConfig::from_json(option));
    EXPECT_THROW((void)engine.submit(std::move(request)), Error) << option;
  }
  EXPECT_TRUE(engine.idle());
}

}  // namespace
}  // namespace m2
