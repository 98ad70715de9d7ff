// Requests that together need more blocks than there are.
#include <gtest/gtest.h>

#include "engine_stack.h"

namespace m2 {
namespace {

using test::EngineStack;
using test::prompt_of;
using test::request_of;
using test::run;

std::vector<std::int32_t> alone(EngineStack& stack, const EngineRequest& request) {
  Engine engine(stack.model, {.kv_cache = {.num_tokens = 256, .block_size = 4}});
  const RequestId id = engine.submit(request);
  return run(engine).at(id).tokens;
}

TEST(Preemption, EveryRequestEndsAsItDoesAlone) {
  EngineStack stack;
  for (const std::int64_t num_tokens : {40, 48, 64, 100}) {
    Engine engine(stack.model, {.max_batch_tokens = 8,
                                .max_seqs = 4,
                                .kv_cache = {.num_tokens = num_tokens, .block_size = 4}});
    std::map<RequestId, EngineRequest> requests;
    for (std::int32_t salt = 0; salt < 6; ++salt) {
      const EngineRequest request = request_of(prompt_of(6, salt), 34);
      requests[engine.submit(request)] = request;
    }
    const auto outcomes = run(engine);
    ASSERT_EQ(outcomes.size(), requests.size());
    for (const auto& [id, request] : requests) {
      EXPECT_EQ(outcomes.at(id).tokens, alone(stack, request)) << id << " of " << num_tokens;
    }
    EXPECT_GT(engine.statistics().num_preemptions, 0) << num_tokens;
  }
}

TEST(Preemption, TheOldestIsNeverInterrupted) {
  EngineStack stack;
  Engine engine(stack.model, {.max_seqs = 8, .kv_cache = {.num_tokens = 40, .block_size = 4}});
  std::vector<RequestId> ids;
  for (std::int32_t salt = 0; salt < 5; ++salt) {
    ids.push_back(engine.submit(request_of(prompt_of(5, salt), 30)));
  }
  std::vector<RequestId> ended;
  std::map<RequestId, int> num_tokens;
  while (!engine.idle()) {
    const RequestId oldest = ids[ended.size()];
    bool served = false;
    for (const TokenEvent& event : engine.step()) {
      ++num_tokens[event.request];
      served = served || event.request == oldest;
      if (event.finish_reason) ended.push_back(event.request);
    }
    EXPECT_TRUE(served) << "no token for " << oldest;
  }
  EXPECT_EQ(ended, ids);
  for (const RequestId id : ids) EXPECT_EQ(num_tokens[id], 30) << id;
}

TEST(Preemption, MaskedRequestsAreComputedAgain) {
  EngineStack stack;
  Engine engine(stack.model, {.kv_cache = {.num_tokens = 44, .block_size = 4}});
  std::map<RequestId, EngineRequest> requests;
  for (std::int32_t salt = 0; salt < 3; ++salt) {
    EngineRequest request = request_of(prompt_of(7, salt), 30);
    request.prompt_mask = {0, 0, 1, 1, 1, 1, 1};
    requests[engine.submit(request)] = request;
  }
  const auto outcomes = run(engine);
  for (const auto& [id, request] : requests) {
    EXPECT_EQ(outcomes.at(id).tokens, alone(stack, request)) << id;
  }
  EXPECT_GT(engine.statistics().num_preemptions, 0);
}

}  // namespace
}  // namespace m2
