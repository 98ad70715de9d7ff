// What requests find of each other's prompts.
#include <gtest/gtest.h>

#include "engine_stack.h"

namespace m2 {
namespace {

using test::EngineStack;
using test::prompt_of;
using test::request_of;
using test::run;

constexpr std::int32_t kBlock = 4;

EngineOptions options_of(std::int64_t num_tokens) {
  return {.kv_cache = {.num_tokens = num_tokens, .block_size = kBlock}};
}

std::vector<std::int32_t> joined(std::vector<std::int32_t> first,
                                 const std::vector<std::int32_t>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

TEST(Prefix, FullBlocksAreFoundButNeverTheLastToken) {
  struct Case {
    std::size_t prompt;
    std::int64_t found;  // by the same prompt once more
  };
  for (const auto& [prompt, found] :
       {Case{1, 0}, Case{3, 0}, Case{4, 0}, Case{5, 4}, Case{8, 4}, Case{9, 8}, Case{23, 20}}) {
    EngineStack stack;
    Engine engine(stack.model, options_of(64));
    const RequestId cold = engine.submit(request_of(prompt_of(prompt, 1), 6));
    const auto expected = run(engine).at(cold);
    EXPECT_EQ(expected.num_prefix_tokens, 0);
    const RequestId warm = engine.submit(request_of(prompt_of(prompt, 1), 6));
    const auto outcome = run(engine).at(warm);
    EXPECT_EQ(outcome.num_prefix_tokens, found) << prompt << " tokens";
    EXPECT_EQ(outcome.tokens, expected.tokens);
    EXPECT_EQ(engine.statistics().num_prompt_tokens, 2 * static_cast<std::int64_t>(prompt));
    EXPECT_EQ(engine.statistics().num_prefix_tokens, found);
    EXPECT_EQ(engine.statistics().num_prefix_hits, found > 0 ? 1 : 0);
  }
}

TEST(Prefix, TheSecondTurnFindsTheFirstAndItsAnswer) {
  EngineStack stack;
  Engine engine(stack.model, options_of(128));
  const auto prompt = prompt_of(10, 1);
  const RequestId first = engine.submit(request_of(prompt, 11));
  const auto answer = run(engine).at(first).tokens;
  const auto second = joined(joined(prompt, answer), prompt_of(7, 5));
  const RequestId id = engine.submit(request_of(second, 8));
  const auto warm = run(engine).at(id);
  EXPECT_EQ(warm.num_prefix_tokens, 20);  // of the 20 that were computed: the last never is
  Engine other(stack.model, options_of(128));
  const RequestId cold = other.submit(request_of(second, 8));
  EXPECT_EQ(warm.tokens, run(other).at(cold).tokens);
}

TEST(Prefix, RequestsShareBlocksWhileTheyRun) {
  EngineStack stack;
  Engine engine(stack.model, options_of(48));
  const auto prompt = prompt_of(33, 1);
  const RequestId first = engine.submit(request_of(prompt, 4));
  for (int i = 0; i < 2; ++i) (void)engine.step();
  // Alone, each of these would need 9 of the 12 blocks.
  std::vector<RequestId> others;
  for (int i = 0; i < 2; ++i) others.push_back(engine.submit(request_of(prompt, 3)));
  const auto outcomes = run(engine);
  for (const RequestId id : others) {
    EXPECT_EQ(outcomes.at(id).num_prefix_tokens, 32);
    EXPECT_EQ(outcomes.at(id).tokens.size(), 3U);
  }
  EXPECT_EQ(outcomes.at(first).tokens.size(), 2U);
  EXPECT_EQ(engine.statistics().num_preemptions, 0);
}

TEST(Prefix, MasksAndOddPositionsShareNothing) {
  struct Case {
    const char* name;
    std::vector<std::uint8_t> mask;
    std::vector<std::int64_t> positions;
    std::int64_t found;
  };
  for (const Case& c : {Case{"a mask that hides nothing", std::vector<std::uint8_t>(9, 1), {}, 8},
                        Case{"the usual positions", {}, {0, 1, 2, 3, 4, 5, 6, 7, 8}, 8},
                        Case{"padding", {0, 1, 1, 1, 1, 1, 1, 1, 1}, {}, 0},
                        Case{"positions from 1", {}, {1, 2, 3, 4, 5, 6, 7, 8, 9}, 0}}) {
    EngineStack stack;
    Engine engine(stack.model, options_of(128));
    const auto request = [&](bool odd) {
      EngineRequest result = request_of(prompt_of(9, 1), 5);
      if (odd) result.prompt_mask = c.mask;
      if (odd) result.position_ids = c.positions;
      return result;
    };
    (void)engine.submit(request(false));
    (void)run(engine);
    const RequestId odd = engine.submit(request(true));
    EXPECT_EQ(run(engine).at(odd).num_prefix_tokens, c.found) << c.name;
    // And nobody finds what it left behind.
    Engine fresh(stack.model, options_of(128));
    (void)fresh.submit(request(true));
    (void)run(fresh);
    const RequestId plain = fresh.submit(request(false));
    EXPECT_EQ(run(fresh).at(plain).num_prefix_tokens, c.found) << c.name;
  }
}

TEST(Prefix, KeysThatDependOnTheLengthAreNotShared) {
  MiniMaxM2Config config = test::tiny_config();
  config.rope.type = RopeType::kDynamic;
  config.rope.factor = 2.0;
  EngineStack stack(std::make_shared<ReferenceBackend>(), config);
  Engine engine(stack.model, options_of(64));
  for (int turn = 0; turn < 2; ++turn) {
    const RequestId id = engine.submit(request_of(prompt_of(13, 1), 1));
    EXPECT_EQ(run(engine).at(id).num_prefix_tokens, 0);
  }
}

TEST(Prefix, TheLongestIdleBlocksMakeRoom) {
  EngineStack stack;
  Engine engine(stack.model, options_of(40));  // 10 blocks, a request below needs 4 and keeps 3
  const auto found = [&](std::int32_t salt) {
    const RequestId id = engine.submit(request_of(prompt_of(13, salt), 1));
    return run(engine).at(id).num_prefix_tokens;
  };
  for (const std::int32_t salt : {1, 2, 3}) EXPECT_EQ(found(salt), 0) << salt;
  EXPECT_EQ(found(2), 12);  // now 3 is the one before last, 1 the last
  EXPECT_EQ(found(4), 0);   // takes blocks of 1
  EXPECT_EQ(found(2), 12);
  EXPECT_EQ(found(3), 12);
  EXPECT_LT(found(1), 12);
}

}  // namespace
}  // namespace m2
