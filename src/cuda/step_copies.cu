#include "cuda/step_copies.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "base/error.h"
#include "cuda/alignment.h"
#include "cuda/launch.cuh"

namespace m2::cuda {
namespace {

constexpr std::size_t kAlignment = 128;
constexpr int kUpThreads = 128;
constexpr int kDownThreads = 512;
constexpr int kMostDownloads = 4;

struct Bytes {
  const void* from;  // aligned to sixteen
  void* to;          // likewise
  std::size_t count;
};

struct Downloads {
  Bytes parts[kMostDownloads];
  int count;
};

__device__ void copy_bytes(const Bytes& bytes, std::size_t thread, std::size_t num_threads) {
  const std::size_t vectors = bytes.count / sizeof(uint4);
  for (std::size_t i = thread; i < vectors; i += num_threads) {
    static_cast<uint4*>(bytes.to)[i] = static_cast<const uint4*>(bytes.from)[i];
  }
  for (std::size_t i = vectors * sizeof(uint4) + thread; i < bytes.count; i += num_threads) {
    static_cast<char*>(bytes.to)[i] = static_cast<const char*>(bytes.from)[i];
  }
}

// Kernels read the arrays of a batch before they wait for others (launch.cuh): none may start
// before these are there.
__global__ void __launch_bounds__(kUpThreads) upload_kernel(const Bytes bytes) {
  await_earlier_kernels();
  copy_bytes(bytes, std::size_t{blockIdx.x} * kUpThreads + threadIdx.x,
             std::size_t{gridDim.x} * kUpThreads);
  __threadfence();
  __syncthreads();
  release_next_kernel();
}

// One block. The number of the replay comes over the bus while others still work.
__global__ void __launch_bounds__(kDownThreads)
    download_kernel(const Downloads downloads, const volatile std::uint32_t* launched,
                    volatile std::uint32_t* done) {
  const std::uint32_t number = *launched;
  begin_kernel();
  for (int i = 0; i < downloads.count; ++i) {
    copy_bytes(downloads.parts[i], threadIdx.x, kDownThreads);
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  __threadfence_system();
  *done = number;
}

}  // namespace

void StepCopies::HostFree::operator()(std::byte* memory) const noexcept {
  static_cast<void>(cudaFreeHost(memory));
}

void StepCopies::note(const TensorView& host, const TensorView& device, Way way) {
  M2_CHECK(way == Way::kDown || copies_.empty() || copies_.back().way == Way::kUp,
           "a step uploads after a download");
  M2_CHECK(is_aligned(device.data), "a step copies from or to an address that is not aligned");
  copies_.push_back({host.data, device.data, host.num_bytes(), way, 0});
  M2_CHECK(std::ranges::count(copies_, Way::kDown, &Copy::way) <= kMostDownloads,
           "a step of more than ", kMostDownloads, " downloads");
}

void StepCopies::prepare() {
  num_recorded_ = 0;
  if (memory_ != nullptr || copies_.empty()) return;
  std::size_t size = kAlignment;  // the numbers
  for (Copy& copy : copies_) {
    copy.offset = size;
    size += (copy.num_bytes + kAlignment - 1) / kAlignment * kAlignment;
  }
  void* memory = nullptr;
  require(cudaHostAlloc(&memory, size, cudaHostAllocMapped), "allocate pinned memory");
  memory_.reset(static_cast<std::byte*>(memory));
  numbers() = {};
}

void StepCopies::record(const TensorView& host, const TensorView& device, Way way,
                        const Context& context) {
  M2_CHECK(num_recorded_ < copies_.size(), "a recorded step copies more than its first run");
  const Copy& copy = copies_[num_recorded_++];
  M2_CHECK(copy.host == host.data && copy.device == device.data &&
               copy.num_bytes == host.num_bytes() && copy.way == way,
           "a recorded step copies other memory than its first run");
  if (way == Way::kDown || copy.num_bytes == 0) return;
  const std::size_t per_block = kUpThreads * sizeof(uint4);
  const auto blocks = static_cast<unsigned>((copy.num_bytes + per_block - 1) / per_block);
  launch_kernel(context, upload_kernel, blocks, kUpThreads, 0,
                {memory_.get() + copy.offset, copy.device, copy.num_bytes});
}

void StepCopies::finish_recording(const Context& context) {
  M2_CHECK(num_recorded_ == copies_.size(), "a recorded step copies less than its first run");
  if (copies_.empty()) return;
  Downloads downloads = {};
  for (const Copy& copy : copies_) {
    if (copy.way == Way::kUp) continue;
    downloads.parts[downloads.count++] = {copy.device, memory_.get() + copy.offset, copy.num_bytes};
  }
  launch_kernel(context, download_kernel, 1, kDownThreads, 0, downloads, &numbers().launched,
                &numbers().done);
}

void StepCopies::before_launch(const Context& context) {
  if (copies_.empty()) return;
  wait(context);
  move(Way::kUp);
  numbers().launched = ++num_launches_;
}

void StepCopies::after_launch(const Context& context) {
  if (copies_.empty() || copies_.back().way == Way::kUp) return;
  wait(context);
  move(Way::kDown);
}

StepCopies::Numbers& StepCopies::numbers() const {
  return *reinterpret_cast<Numbers*>(memory_.get());
}

// For the last replay. A device that fails says nothing: so its stream is asked now and then.
void StepCopies::wait(const Context& context) const {
  constexpr int kLooks = 1 << 14;
  const std::atomic_ref done(numbers().done);
  for (int looks = 1; done.load(std::memory_order_acquire) != num_launches_; ++looks) {
    if (looks % kLooks != 0) continue;
    const cudaError_t status = cudaStreamQuery(context.stream.get());
    if (status == cudaErrorNotReady) continue;
    require(status, "wait for a recorded step");
    M2_CHECK(done.load(std::memory_order_acquire) == num_launches_,
             "a recorded step has ended without saying so");
  }
}

void StepCopies::move(Way way) const {
  for (const Copy& copy : copies_) {
    if (copy.way != way || copy.num_bytes == 0) continue;
    std::byte* const staged = memory_.get() + copy.offset;
    if (way == Way::kUp) {
      std::memcpy(staged, copy.host, copy.num_bytes);
    } else {
      std::memcpy(copy.host, staged, copy.num_bytes);
    }
  }
}

}  // namespace m2::cuda
