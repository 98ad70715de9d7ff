#include "cuda/weight_store.h"

#include <algorithm>
#include <cstring>

namespace m2::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kSmallestSlab = std::size_t{4} << 20U;
constexpr std::size_t kLargestSlab = std::size_t{1} << 30U;
constexpr std::size_t kStagingBytes = std::size_t{16} << 20U;

}  // namespace

WeightStore::Placed WeightStore::place(const void* host, std::size_t num_bytes,
                                       const Stream& stream) {
  Placed placed = reserve(num_bytes);
  copy(host, placed.data, num_bytes, stream);
  return placed;
}

// Slabs double in size, so that a small model does not take a large one.
WeightStore::Placed WeightStore::reserve(std::size_t num_bytes) {
  const std::size_t size = (num_bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (slab_used_ + size > slab_size_) {
    const std::size_t next = std::clamp(2 * slab_size_, kSmallestSlab, kLargestSlab);
    slab_size_ = slab_used_ = 0;
    const std::size_t slab_size = std::max(next, size);
    slab_ = std::shared_ptr<void>(allocate_device(slab_size).release(), DeviceFree());
    slab_size_ = slab_size;
  }
  const Placed placed = {static_cast<std::byte*>(slab_.get()) + slab_used_, slab_};
  slab_used_ += size;
  return placed;
}

void WeightStore::copy(const void* host, void* device, std::size_t num_bytes,
                       const Stream& stream) {
  const auto* from = static_cast<const std::byte*>(host);
  auto* to = static_cast<std::byte*>(device);
  while (num_bytes > 0) {
    Staging& staging = staging_[next_staging_];
    next_staging_ = 1 - next_staging_;
    if (staging.memory == nullptr) staging.memory = allocate_pinned(kStagingBytes);
    staging.copied.wait();  // at once for an event that was never recorded
    const std::size_t part = std::min(num_bytes, kStagingBytes);
    std::memcpy(staging.memory.get(), from, part);
    require(cudaMemcpyAsync(to, staging.memory.get(), part, cudaMemcpyHostToDevice, stream.get()),
            "copy weights to the device");
    staging.copied.record(stream);
    from += part;
    to += part;
    num_bytes -= part;
  }
}

}  // namespace m2::cuda
