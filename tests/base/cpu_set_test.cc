#include "base/cpu_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"

namespace m2 {
namespace {

TEST(CpuSet, ReadsMasksAndLists) {
  const struct {
    const char* text;
    std::vector<int> cpus;
  } kCases[] = {
      {"0x1", {0}},
      {"0xF0", {4, 5, 6, 7}},
      {"0X8000000000000001", {0, 63}},
      {"0x10000000000000000", {64}},
      {"0", {0}},
      {"0-3,8", {0, 1, 2, 3, 8}},
      {"8,0-1,1", {0, 1, 8}},
      {"1023", {1023}},
  };
  for (const auto& [text, cpus] : kCases) EXPECT_EQ(parse_cpu_set(text), cpus) << text;
}

TEST(CpuSet, RefusesWhatIsNeither) {
  const std::string wide = "0x1" + std::string(300, '0');
  for (const std::string text : {"", "0x", "0x0", "0xg", "f0", "1,", ",1", "3-1", "1-", "-1", "1 2",
                                 "1024", "99999999999", "0-1024", wide.c_str()}) {
    EXPECT_THROW((void)parse_cpu_set(text), Error) << text;
  }
}

TEST(CpuSet, RefusesProcessorsThatAreNotAllowed) {
  const std::vector<int> cpus = {1023};
  if (std::ranges::binary_search(allowed_cpus(), 1023)) GTEST_SKIP();
  EXPECT_THROW(restrict_thread_to(cpus), Error);
  EXPECT_THROW(ThreadPool(2, cpus), Error);
}

// On a thread of its own, since a pool restricts the thread that makes it.
TEST(ThreadPool, KeepsToItsProcessors) {
  std::thread([] {
    const std::vector<int> all = allowed_cpus();
    const std::vector<int> cpus(all.begin(),
                                all.begin() + std::min<std::ptrdiff_t>(2, std::ssize(all)));
    ThreadPool pool(3, cpus);
    EXPECT_EQ(allowed_cpus(), cpus);
    const std::thread::id caller = std::this_thread::get_id();
    std::mutex mutex;
    pool.parallel_for(300, 1, [&](std::int64_t, std::int64_t) {
      const std::lock_guard lock(mutex);
      if (std::this_thread::get_id() == caller) return;
      const std::vector<int> own = allowed_cpus();
      ASSERT_EQ(own.size(), 1U);
      EXPECT_TRUE(std::ranges::binary_search(cpus, own[0]));
    });
  }).join();
}

TEST(ThreadPool, HasAThreadForEveryProcessorOfItsSet) {
  std::thread([] {
    const std::vector<int> first = {allowed_cpus().front()};
    EXPECT_EQ(ThreadPool(0, first).num_threads(), 1);
  }).join();
}

}  // namespace
}  // namespace m2
