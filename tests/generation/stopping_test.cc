#include "generation/stopping.h"

#include "support/paths.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <vector>

namespace m2::generation {
namespace {

using nlohmann::json;
using Clock = StoppingCriteria::Clock;

TEST(StoppingTest, AgreesWithTheReference) {
  const json goldens = json::parse(test::read_file(test::golden_path("generation/config.json")));
  for (const json& test_case : goldens["stopping"]) {
    GenerationConfig config;
    config.max_length = test_case["max_length"].get<std::int64_t>();
    if (!test_case["eos"].is_null()) {
      config.eos_token_id = test_case["eos"].get<std::vector<std::int32_t>>();
    }
    const auto ids = test_case["ids"].get<std::vector<std::int32_t>>();
    const StoppingCriteria criteria(config, Clock::now());
    EXPECT_EQ(criteria.check(ids, Clock::now()).has_value(), test_case["done"].get<bool>())
        << test_case;
  }
}

TEST(StoppingTest, ReasonsAndTheirOrder) {
  GenerationConfig config;
  config.max_length = 3;
  config.max_time = 1.5;
  config.eos_token_id = {{9}};
  const auto start = Clock::now();
  const auto soon = start + std::chrono::milliseconds(1500);
  const auto late = start + std::chrono::milliseconds(1501);
  const StoppingCriteria criteria(config, start);
  const std::vector<std::int32_t> running = {9, 1};
  const std::vector<std::int32_t> full = {1, 1, 1};
  const std::vector<std::int32_t> ended = {1, 1, 9};
  EXPECT_EQ(criteria.check(running, soon), std::nullopt);
  EXPECT_EQ(criteria.check(running, late), StopReason::kTime);
  EXPECT_EQ(criteria.check(full, late), StopReason::kLength);
  EXPECT_EQ(criteria.check(ended, late), StopReason::kEos);
  EXPECT_TRUE(criteria.has_eos());
}

TEST(StoppingTest, WithoutLimitsNothingStops) {
  GenerationConfig config;
  config.max_time = 1e300;
  const StoppingCriteria criteria(config, Clock::now());
  const std::vector<std::int32_t> ids(1000, 1);
  EXPECT_EQ(criteria.check(ids, Clock::now() + std::chrono::hours(1000)), std::nullopt);
  EXPECT_EQ(criteria.check({}, Clock::now()), std::nullopt);
  EXPECT_FALSE(criteria.has_eos());
}

}  // namespace
}  // namespace m2::generation
