// Fork-join parallelism for the CPU backend.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace m2 {

/// A fixed set of workers that run one loop at a time together with the calling thread. Workers
/// spin briefly between loops (a decode step is many short loops) and then sleep.
/// One loop at a time: calls of parallel_for from several threads are serialised; a call from
/// inside a loop body runs the inner loop on the calling worker alone.
class ThreadPool {
 public:
  /// num_threads counts the calling thread; 0 means one for each of `cpus`, else M2_NUM_THREADS,
  /// else the available cores. With `cpus` every worker stays on one of them, in turn, and the
  /// calling thread on any of them; throws kInvalidArgument for one that is not available. Without,
  /// where memory belongs to several nodes, every worker stays on one of these, in turn.
  explicit ThreadPool(int num_threads = 0, std::span<const int> cpus = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int num_threads() const;

  /// Calls body(begin, end) over [0, count) in pieces of at least `grain` items, handed out
  /// dynamically. Returns when all are done. The first exception of a body is rethrown here.
  void parallel_for(std::int64_t count, std::int64_t grain,
                    const std::function<void(std::int64_t, std::int64_t)>& body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace m2
