// Puts weights of the host into device memory.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda/context.h"

namespace m2::cuda {

/// Cuts its memory from large slabs: a model has tens of thousands of weights, and an allocation
/// each would waste up to 2 MiB. Pieces of weights are brought by several threads, each with pinned
/// buffers and a stream of its own: a thread that reads a mapped file is slower than the bus, and
/// threads that wait for each other at every weight are too. Pieces that follow each other on the
/// device, like the weights of a layer, cross the bus together: a copy costs it some 9 us besides
/// the bytes.
class WeightStore {
 public:
  struct Placed {
    void* data = nullptr;              // aligned to 256 bytes
    std::shared_ptr<const void> slab;  // keeps it alive
  };
  /// Up to kPieceBytes on their way; one without `use` may travel with others.
  struct Piece {
    std::size_t num_bytes = 0;
    std::function<void(std::byte* to)> read;  // writes them to pinned memory
    void* device = nullptr;  // where they go, or to scratch memory without it, then
    std::function<void(const void* scratch, const Context&)> use;  // is called to launch a kernel
  };
  static constexpr std::size_t kPieceBytes = std::size_t{4} << 20U;

  explicit WeightStore(int device) : device_(device) {}
  ~WeightStore();
  WeightStore(const WeightStore&) = delete;
  WeightStore& operator=(const WeightStore&) = delete;

  /// Throws kResourceExhausted when the device is full.
  [[nodiscard]] Placed reserve(std::size_t num_bytes);

  /// Queues a piece; waits while the queue is long. What it reads and where it goes must stay until
  /// finish(). Throws what an earlier piece threw.
  void add(Piece piece);
  /// Queues the pieces of plain memory.
  void copy(const void* host, void* device, std::size_t num_bytes);
  /// Waits until everything is there; throws what a piece threw. Cheap when nothing was queued.
  void finish();

 private:
  using Load = std::vector<Piece>;  // one copy of up to kPieceBytes

  [[nodiscard]] std::size_t room_at(const void* device) const;
  [[nodiscard]] bool send();
  void bring();  // a thread's life
  void bring_loads();

  int device_;
  std::shared_ptr<void> slab_;
  std::size_t slab_size_ = 0;
  std::size_t slab_used_ = 0;

  Load next_;  // not queued yet

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::deque<Load> queue_;
  std::exception_ptr error_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;  // one more with every load, up to the most
};

}  // namespace m2::cuda
