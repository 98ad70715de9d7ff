#include "cuda/runtime.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace m2::cuda {
namespace {

std::atomic<std::uint64_t> workspace_moves = 0;

}  // namespace

void require(cudaError_t status, const char* what) {
  if (status == cudaSuccess) [[likely]]
    return;
  // Forgets the error where the runtime can go on, so that the next call does not report it again.
  static_cast<void>(cudaGetLastError());
  const bool memory = status == cudaErrorMemoryAllocation;
  fail(memory ? ErrorCode::kResourceExhausted : ErrorCode::kDeviceFailure, "cuda: ", what, ": ",
       cudaGetErrorString(status), " (", cudaGetErrorName(status), ")");
}

void check_launch(const char* op) { require(cudaGetLastError(), op); }

Stream::Stream() {
  require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "create a stream");
}

Stream::~Stream() {
  if (stream_ != nullptr) static_cast<void>(cudaStreamDestroy(stream_));
}

Event::Event() {
  require(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "create an event");
}

Event::~Event() {
  if (event_ != nullptr) static_cast<void>(cudaEventDestroy(event_));
}

void Event::record(const Stream& stream) {
  require(cudaEventRecord(event_, stream.get()), "record an event");
}

void Event::wait() { require(cudaEventSynchronize(event_), "wait for an event"); }

void DeviceFree::operator()(void* memory) const noexcept { static_cast<void>(cudaFree(memory)); }

void PinnedFree::operator()(void* memory) const noexcept {
  static_cast<void>(cudaHostUnregister(memory));
  std::free(memory);
}

DeviceMemory allocate_device(std::size_t num_bytes) {
  void* memory = nullptr;
  require(cudaMalloc(&memory, std::max<std::size_t>(num_bytes, 1)), "allocate device memory");
  return DeviceMemory(memory);
}

PinnedMemory allocate_pinned(std::size_t num_bytes) {
  constexpr std::size_t kHugePage = std::size_t{2} << 20U;
  const std::size_t size = (num_bytes + kHugePage - 1) / kHugePage * kHugePage;
  std::unique_ptr<void, decltype(&std::free)> memory(std::aligned_alloc(kHugePage, size),
                                                     &std::free);
  M2_REQUIRE(ErrorCode::kResourceExhausted, memory != nullptr, "cuda: no ", size,
             " bytes of memory to pin");
  static_cast<void>(::madvise(memory.get(), size, MADV_HUGEPAGE));  // a hint
  std::memset(memory.get(), 0, size);                               // gives it pages
  require(cudaHostRegister(memory.get(), size, cudaHostRegisterDefault), "pin memory");
  return PinnedMemory(memory.release());
}

std::uint64_t Workspace::moves() { return workspace_moves; }

void* Workspace::reserve(std::size_t num_bytes) {
  if (num_bytes > num_bytes_ || memory_ == nullptr) {
    ++workspace_moves;
    memory_.reset();  // waits for the kernels that use it
    num_bytes_ = 0;
    memory_ = allocate_device(num_bytes);
    num_bytes_ = num_bytes;
  }
  return memory_.get();
}

void* Workspace::reserve_zeroed(std::size_t num_bytes, const Stream& stream) {
  const bool grows = num_bytes > num_bytes_ || memory_ == nullptr;
  void* memory = reserve(num_bytes);
  if (grows) require(cudaMemsetAsync(memory, 0, num_bytes, stream.get()), "clear device memory");
  return memory;
}

}  // namespace m2::cuda
