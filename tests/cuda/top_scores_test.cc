#include "ops/top_scores.h"

#include "cuda/device_cases.h"
#include "ops/top_scores_cases.h"

namespace m2 {
namespace {

using CudaTopScores = test::DeviceTest;

TEST_F(CudaTopScores, MatchesTheReference) {
  for (const test::TopScoresCase& c : test::top_scores_cases()) {
    SCOPED_TRACE(c.name);
    test::TopScoresResult want(c);
    reference::top_scores(want.args(c));
    test::TopScoresResult got(c);
    const TopScoresArgs host = got.args(c);
    const Tensor scores = to_device(host.scores);
    const Tensor top_ids = backend_->allocate(DType::kI32, host.top_ids.shape);
    const Tensor top_scores = backend_->allocate(DType::kF32, host.top_scores.shape);
    backend_->top_scores(
        {.scores = scores.view(), .top_ids = top_ids.view(), .top_scores = top_scores.view()});
    backend_->download(top_ids.view(), host.top_ids);
    backend_->download(top_scores.view(), host.top_scores);
    test::expect_same(got, want);
  }
}

}  // namespace
}  // namespace m2
