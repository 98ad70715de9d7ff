#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/cpu_set.h"
#include "base/environment.h"
#include "base/error.h"
#include "base/numa.h"

namespace m2 {
namespace {

thread_local bool inside_loop = false;

// Polls before a worker sleeps: some 20 us, longer than the gap between two ops of a step.
constexpr int kSpins = 2000;

int default_threads(std::span<const int> cpus) {
  if (!cpus.empty()) return static_cast<int>(cpus.size());
  if (const auto number = environment::num_threads()) return *number;
  return static_cast<int>(allowed_cpus().size());
}

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

struct ThreadPool::Impl {
  struct Loop {
    const std::function<void(std::int64_t, std::int64_t)>* body = nullptr;
    std::int64_t count = 0;
    std::int64_t piece = 1;
  };

  std::vector<std::thread> workers;
  std::mutex call_mutex;  // one loop at a time
  std::mutex mutex;       // guards sleeping, stop and error
  std::condition_variable wake;
  std::atomic<std::uint64_t> generation{0};
  std::atomic<int> running{0};
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> stop{false};
  Loop loop;
  std::exception_ptr error;

  void work() {
    inside_loop = true;
    try {
      for (;;) {
        const std::int64_t begin = next.fetch_add(loop.piece, std::memory_order_relaxed);
        if (begin >= loop.count) break;
        (*loop.body)(begin, std::min(begin + loop.piece, loop.count));
      }
    } catch (...) {
      next.store(loop.count, std::memory_order_relaxed);
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
    inside_loop = false;
  }

  void run_worker() {
    std::uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation.load(std::memory_order_acquire) == seen;
           ++spin) {
        pause();
      }
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation.load(std::memory_order_acquire) != seen; });
      }
      seen = generation.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      work();
      running.fetch_sub(1, std::memory_order_release);
    }
  }

  void start_generation() {
    {
      const std::lock_guard lock(mutex);
      generation.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
  }
};

ThreadPool::ThreadPool(int num_threads, std::span<const int> cpus)
    : impl_(std::make_unique<Impl>()) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, num_threads >= 0 && num_threads <= 1024,
             "threads: expected a number from 1 to 1024, got ", num_threads);
  if (num_threads == 0) num_threads = default_threads(cpus);
  if (!cpus.empty()) restrict_thread_to(cpus);
  for (std::vector<int>& own : worker_cpus(num_threads - 1, cpus, numa_nodes())) {
    impl_->workers.emplace_back([impl = impl_.get(), own = std::move(own)] {
      if (!own.empty()) restrict_thread_to(own);  // cannot fail: the calling thread did the same
      impl->run_worker();
    });
  }
}

ThreadPool::~ThreadPool() {
  impl_->stop.store(true, std::memory_order_release);
  impl_->start_generation();
  for (auto& worker : impl_->workers) worker.join();
}

int ThreadPool::num_threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::parallel_for(std::int64_t count, std::int64_t grain,
                              const std::function<void(std::int64_t, std::int64_t)>& body) {
  if (count <= 0) return;
  grain = std::max<std::int64_t>(grain, 1);
  if (impl_->workers.empty() || inside_loop || count <= grain) {
    body(0, count);
    return;
  }
  const std::lock_guard call_lock(impl_->call_mutex);
  // Four pieces a thread level out uneven cores without many atomic operations.
  const std::int64_t pieces = std::int64_t{4} * num_threads();
  impl_->loop = {&body, count, std::max(grain, (count + pieces - 1) / pieces)};
  impl_->next.store(0, std::memory_order_relaxed);
  impl_->error = nullptr;
  impl_->running.store(static_cast<int>(impl_->workers.size()), std::memory_order_relaxed);
  impl_->start_generation();
  impl_->work();
  while (impl_->running.load(std::memory_order_acquire) != 0) pause();
  if (impl_->error) std::rethrow_exception(impl_->error);
}

}  // namespace m2
