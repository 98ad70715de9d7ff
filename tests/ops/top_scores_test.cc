#include "ops/top_scores.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "ops/op_cases.h"
#include "ops/reference_backend.h"
#include "ops/top_scores_cases.h"

namespace m2 {
namespace {

class TopScoresTest : public testing::TestWithParam<test::BackendCase> {};

TEST_P(TopScoresTest, MatchesTheReference) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  for (const test::TopScoresCase& c : test::top_scores_cases()) {
    SCOPED_TRACE(c.name);
    test::TopScoresResult got(c);
    backend.top_scores(got.args(c));
    test::TopScoresResult want(c);
    reference::top_scores(want.args(c));
    test::expect_same(got, want);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, TopScoresTest, testing::ValuesIn(test::backend_cases()));

TEST(TopScoresReference, OrdersByScoreAndThenId) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const test::TopScoresCase c = {"by hand", {1, 8}, 5, {1, -0.0F, -kInfinity, 0, 3, -nan, 3, 2}};
  test::TopScoresResult result(c);
  ReferenceBackend().top_scores(result.args(c));
  EXPECT_EQ(result.ids, (std::vector<std::int32_t>{5, 4, 6, 7, 0}));
  const test::TopScoresCase all = {"all", {1, 3}, 3, {-0.0F, 0.0F, -kInfinity}};
  test::TopScoresResult of_all(all);
  ReferenceBackend().top_scores(of_all.args(all));
  EXPECT_EQ(of_all.ids, (std::vector<std::int32_t>{0, 1, 2}));
}

TEST(TopScoresReference, WrongArgumentsAreNamed) {
  const test::TopScoresCase c = {"too many", {1, 2}, 3, {1, 2}};
  test::TopScoresResult result(c);
  EXPECT_THROW(reference::top_scores(result.args(c)), Error);
}

}  // namespace
}  // namespace m2
