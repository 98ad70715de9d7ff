#include "cuda/weight_store.h"

#include <algorithm>
#include <cstring>
#include <thread>

namespace m2::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kSmallestSlab = std::size_t{4} << 20U;
constexpr std::size_t kLargestSlab = std::size_t{1} << 30U;
constexpr std::size_t kStagingBytes = std::size_t{16} << 20U;
constexpr int kMostReaders = 8;
constexpr std::int64_t kReadGrain = std::int64_t{256} << 10U;

std::size_t aligned(std::size_t num_bytes) {
  return (num_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

WeightStore::Placed WeightStore::place(const void* host, std::size_t num_bytes,
                                       const Stream& stream) {
  Placed placed = reserve(num_bytes);
  copy(host, placed.data, num_bytes, stream);
  return placed;
}

// Slabs double in size, so that a small model does not take a large one.
WeightStore::Placed WeightStore::reserve(std::size_t num_bytes) {
  const std::size_t size = aligned(num_bytes);
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
    Staging& staging = staging_with_room(stream);
    const std::size_t part = std::min(num_bytes, kStagingBytes - staging.used);
    auto* pinned = static_cast<std::byte*>(staging.memory.get()) + staging.used;
    read(from, pinned, part);
    require(cudaMemcpyAsync(to, pinned, part, cudaMemcpyHostToDevice, stream.get()),
            "copy weights to the device");
    staging.used = std::min(aligned(staging.used + part), kStagingBytes);
    from += part;
    to += part;
    num_bytes -= part;
  }
}

WeightStore::Staging& WeightStore::staging_with_room(const Stream& stream) {
  if (staging_[current_].used == kStagingBytes) {
    staging_[current_].copied.record(stream);
    current_ = (current_ + 1) % staging_.size();
    staging_[current_].copied.wait();  // at once for an event that was never recorded
    staging_[current_].used = 0;
  }
  Staging& staging = staging_[current_];
  if (staging.memory == nullptr) staging.memory = allocate_pinned(kStagingBytes);
  return staging;
}

void WeightStore::read(const std::byte* from, std::byte* to, std::size_t num_bytes) {
  if (readers_ == nullptr) {
    const int cores = static_cast<int>(std::thread::hardware_concurrency());
    readers_ = std::make_unique<ThreadPool>(std::clamp(cores, 1, kMostReaders));
  }
  readers_->parallel_for(
      static_cast<std::int64_t>(num_bytes), kReadGrain, [&](std::int64_t begin, std::int64_t end) {
        std::memcpy(to + begin, from + begin, static_cast<std::size_t>(end - begin));
      });
}

}  // namespace m2::cuda
