// Task lists over the thread pool, and memory that only grows.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "m2/tensor.h"

namespace m2::cpu {

/// Room for floats, aligned to 64 bytes, kept from call to call: steady decode allocates nothing.
class Buffer {
 public:
  /// At least `count` floats; what they held before is lost when the buffer grows.
  float* floats(std::int64_t count) {
    if (count > size_) {
      tensor_ = Tensor();  // releases before it allocates
      tensor_ = Tensor(DType::kF32, {count});
      size_ = count;
    }
    return tensor_.as<float>();
  }

 private:
  Tensor tensor_;
  std::int64_t size_ = 0;
};

/// Runs tasks on all threads. Each thread takes the next task when it is free, so the division of
/// work must not change results: tasks write disjoint outputs.
class Lanes {
 public:
  /// As ThreadPool.
  explicit Lanes(int num_threads, std::span<const int> cpus = {})
      : pool_(num_threads, cpus), scratch_(static_cast<std::size_t>(pool_.num_threads())) {}

  [[nodiscard]] int num_threads() const { return pool_.num_threads(); }

  /// Calls body(task, scratch) for every task in [0, num_tasks); no two concurrent calls share a
  /// scratch buffer.
  template <class Body>
  void run(std::int64_t num_tasks, const Body& body) {
    std::atomic<std::int64_t> next{0};
    const auto lane = [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        Buffer& scratch = scratch_[static_cast<std::size_t>(i)];
        for (std::int64_t task = next++; task < num_tasks; task = next++) body(task, scratch);
      }
    };
    const std::int64_t lanes = num_tasks < num_threads() ? num_tasks : num_threads();
    // By reference: a std::function that owns this closure would allocate.
    pool_.parallel_for(lanes, 1, std::ref(lane));
  }

  /// The same for tasks that touch `size` elements each once: on the calling thread alone where all
  /// of them take a microsecond or two, less than threads need to begin and end together.
  template <class Body>
  void run_short(std::int64_t num_tasks, std::int64_t size, const Body& body) {
    constexpr std::int64_t kAlone = 16384;
    if (num_tasks * size > kAlone) return run(num_tasks, body);
    for (std::int64_t task = 0; task < num_tasks; ++task) body(task, scratch_.front());
  }

  /// Pieces for `count` items such that every thread gets several, none below `grain` items.
  [[nodiscard]] std::int64_t piece(std::int64_t count, std::int64_t grain) const {
    const std::int64_t wanted = count / (std::int64_t{4} * num_threads());
    return wanted < grain ? grain : wanted / grain * grain;
  }

 private:
  ThreadPool pool_;
  std::vector<Buffer> scratch_;
};

}  // namespace m2::cpu
