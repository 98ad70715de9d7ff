// Puts weights of the host into device memory.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "cuda/runtime.h"

namespace m2::cuda {

/// Copies through two pinned buffers, so that reading a mapped file and the transfer overlap. Cuts
/// its memory from large slabs: a model has tens of thousands of weights, and an allocation each
/// would waste up to 2 MiB.
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
  struct Staging {
    PinnedMemory memory;
    Event copied;
  };

  std::shared_ptr<void> slab_;
  std::size_t slab_size_ = 0;
  std::size_t slab_used_ = 0;
  std::array<Staging, 2> staging_;
  std::size_t next_staging_ = 0;
};

}  // namespace m2::cuda
