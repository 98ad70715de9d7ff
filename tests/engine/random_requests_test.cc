// Random requests at random times: whoever shares the batch, the blocks or the prompt, and whatever
// is interrupted, every request gets the tokens that it gets alone.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "backends/backends.h"
#include "engine_stack.h"

namespace m2 {
namespace {

using test::EngineStack;
using test::Outcome;
using test::prompt_of;
using test::request_of;
using test::run;

class Requests {
 public:
  explicit Requests(unsigned seed) : random_(seed) {}

  std::int64_t below(std::int64_t limit) {
    return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(limit));
  }

  /// A part of one of three stems and an end of its own.
  EngineRequest next() {
    const auto salt = static_cast<std::int32_t>(below(3));
    auto prompt = prompt_of(static_cast<std::size_t>(1 + below(24)), salt);
    for (std::int64_t i = below(6); i > 0; --i) {
      prompt.push_back(static_cast<std::int32_t>(below(67)));
    }
    EngineRequest request = request_of(std::move(prompt), 1 + below(28));
    request.config.eos_token_id = {{5, 9}};
    if (below(2) == 0) {
      request.config.do_sample = true;
      request.config.temperature = 1.3;
      request.config.top_k = 1 + below(20);
      request.config.repetition_penalty = below(2) == 0 ? 1.0 : 1.2;
      request.seed = static_cast<std::uint64_t>(below(1000));
    }
    if (below(8) == 0) {
      request.prompt_mask.assign(request.prompt_ids.size(), 1);
      request.prompt_mask[0] = request.prompt_ids.size() > 1 ? 0 : 1;
    }
    return request;
  }

 private:
  std::mt19937 random_;
};

struct Setup {
  std::string backend;
  KvFormat format;
};

class RandomRequests : public testing::TestWithParam<Setup> {
 protected:
  static std::shared_ptr<Backend> backend() {
    if (GetParam().backend == "reference") return std::make_shared<ReferenceBackend>();
    return make_backend(GetParam().backend, 1);
  }
  static EngineOptions large() {
    return {.kv_cache = {.num_tokens = 128, .block_size = 16, .format = GetParam().format}};
  }
};

struct Served {
  std::map<RequestId, EngineRequest> requests;
  std::map<RequestId, Outcome> outcomes;
  std::set<RequestId> cancelled;
};

Served serve(Engine& engine, Requests& requests) {
  constexpr std::size_t kNumRequests = 60;
  Served served;
  for (int step = 0; step < 20'000; ++step) {
    if (served.requests.size() == kNumRequests && engine.idle()) return served;
    if (served.requests.size() < kNumRequests && requests.below(2) == 0) {
      const EngineRequest request = requests.next();
      served.requests[engine.submit(request)] = request;
    }
    if (!served.requests.empty() && requests.below(40) == 0) {
      const RequestId id = served.requests.rbegin()->first - requests.below(4);
      engine.cancel(id);
      served.cancelled.insert(id);
    }
    for (const TokenEvent& event : engine.step()) {
      Outcome& outcome = served.outcomes[event.request];
      EXPECT_FALSE(outcome.finish_reason.has_value()) << "event after the end";
      if (event.token) outcome.tokens.push_back(*event.token);
      outcome.finish_reason = event.finish_reason;
    }
  }
  ADD_FAILURE() << "the engine does not come to an end";
  return served;
}

void expect_as_alone(EngineStack& stack, const EngineOptions& large, Served& served) {
  for (const auto& [id, request] : served.requests) {
    Engine other(stack.model, large);
    const RequestId alone = other.submit(request);
    Outcome expected = run(other).at(alone);
    const Outcome& outcome = served.outcomes[id];
    if (outcome.finish_reason == FinishReason::kCancelled) {
      EXPECT_TRUE(served.cancelled.contains(id)) << id;
      ASSERT_LE(outcome.tokens.size(), expected.tokens.size()) << id;
      expected.tokens.resize(outcome.tokens.size());
    } else {
      EXPECT_EQ(outcome.finish_reason, expected.finish_reason) << id;
    }
    EXPECT_EQ(outcome.tokens, expected.tokens) << id;
  }
}

TEST_P(RandomRequests, GetWhatTheyGetAlone) {
  EngineStack stack(backend());
  std::int64_t num_prefix_hits = 0;
  std::int64_t num_preemptions = 0;
  for (const unsigned seed : {1U, 2U, 3U, 4U}) {
    SCOPED_TRACE(seed);
    Requests requests(seed);
    Engine engine(stack.model, {.max_batch_tokens = 6 + requests.below(10),
                                .max_seqs = 2 + requests.below(4),
                                .kv_cache = {.num_tokens = 60 + 4 * requests.below(20),
                                             .block_size = 4,
                                             .format = GetParam().format}});
    Served served = serve(engine, requests);
    expect_as_alone(stack, large(), served);
    num_prefix_hits += engine.statistics().num_prefix_hits;
    num_preemptions += engine.statistics().num_preemptions;
  }
  EXPECT_GT(num_prefix_hits, 40);
  EXPECT_GT(num_preemptions, 10);
}

INSTANTIATE_TEST_SUITE_P(Setups, RandomRequests,
                         testing::Values(Setup{"reference", KvFormat::kF32},
                                         Setup{"cpu", KvFormat::kF32},
                                         Setup{"cpu", KvFormat::kBF16},
                                         Setup{"cpu", KvFormat::kF8E4M3},
                                         Setup{"cpu", KvFormat::kInt8}));

}  // namespace
}  // namespace m2
