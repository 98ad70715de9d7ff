#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/error.h"

namespace m2 {
namespace {

class ThreadPoolSizes : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolSizes, VisitsEveryItemOnce) {
  ThreadPool pool(GetParam());
  for (const std::int64_t count : {0, 1, 2, 7, 64, 1000}) {
    std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
    pool.parallel_for(count, 3, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
    });
    for (const auto& visit : visits) EXPECT_EQ(visit.load(), 1);
  }
}

TEST_P(ThreadPoolSizes, RethrowsAndStaysUsable) {
  ThreadPool pool(GetParam());
  EXPECT_THROW(pool.parallel_for(
                   100, 1, [](std::int64_t, std::int64_t) { fail(ErrorCode::kInternal, "x"); }),
               Error);
  std::atomic<std::int64_t> sum{0};
  pool.parallel_for(10, 1, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
  EXPECT_EQ(sum.load(), 10);
}

INSTANTIATE_TEST_SUITE_P(Sizes, ThreadPoolSizes, testing::Values(1, 2, 3, 8));

TEST(ThreadPool, NestedLoopsAndSeveralCallersFinish) {
  ThreadPool pool(3);
  std::atomic<std::int64_t> sum{0};
  auto caller = [&] {
    for (int repeat = 0; repeat < 50; ++repeat) {
      pool.parallel_for(8, 1, [&](std::int64_t begin, std::int64_t end) {
        pool.parallel_for(end - begin, 1, [&](std::int64_t b, std::int64_t e) { sum += e - b; });
      });
    }
  };
  std::thread other(caller);
  caller();
  other.join();
  EXPECT_EQ(sum.load(), 2 * 50 * 8);
}

TEST(ThreadPool, RefusesAbsurdSizes) { EXPECT_THROW(ThreadPool(-1), Error); }

}  // namespace
}  // namespace m2
