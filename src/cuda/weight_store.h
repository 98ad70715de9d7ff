// Puts weights of the host into device memory.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "base/thread_pool.h"
#include "cuda/runtime.h"

namespace m2::cuda {

/// Copies through two pinned buffers, so that reading a mapped file and the transfer overlap;
/// several threads read, because one alone is slower than the bus. Cuts its memory from large
/// slabs: a model has tens of thousands of weights, and an allocation each would waste up to 2 MiB.
class WeightStore {
 public:
  struct Placed {
    void* data = nullptr;              // aligned to 256 bytes
    std::shared_ptr<const void> slab;  // keeps it alive
  };

  /// The host's memory is free on return. Throws kResourceExhausted when the device is full.
  [[nodiscard]] Placed place(const void* host, std::size_t num_bytes, const Stream& stream);

  /// Memory for a weight that is not as the host has it.
  [[nodiscard]] Placed reserve(std::size_t num_bytes);
  /// To anywhere on the device; the host's memory is free on return.
  void copy(const void* host, void* device, std::size_t num_bytes, const Stream& stream);

 private:
  // Small weights lie side by side in a buffer: waiting for each would undo the overlap.
  struct Staging {
    PinnedMemory memory;
    std::size_t used = 0;
    Event copied;  // all of it
  };

  Staging& staging_with_room(const Stream& stream);
  void read(const std::byte* from, std::byte* to, std::size_t num_bytes);

  std::shared_ptr<void> slab_;
  std::size_t slab_size_ = 0;
  std::size_t slab_used_ = 0;
  std::array<Staging, 4> staging_;
  std::size_t current_ = 0;              // in staging_
  std::unique_ptr<ThreadPool> readers_;  // made for the first copy
};

}  // namespace m2::cuda
