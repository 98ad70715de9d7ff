// Owners of what the CUDA runtime hands out, and the check of its return codes.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace m2::cuda {

/// Throws kResourceExhausted when memory ran out, kDeviceFailure for any other error; `what` names
/// the operation.
void require(cudaError_t status, const char* what);

/// Reports a launch that failed; errors inside the kernel show at the next synchronisation.
void check_launch(const char* op);

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  [[nodiscard]] cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(const Stream& stream);
  /// The host waits until what was before the last record is done.
  void wait();

 private:
  cudaEvent_t event_ = nullptr;
};

struct DeviceFree {
  void operator()(void* memory) const noexcept;
};
struct PinnedFree {
  void operator()(void* memory) const noexcept;
};
using DeviceMemory = std::unique_ptr<void, DeviceFree>;
using PinnedMemory = std::unique_ptr<void, PinnedFree>;

/// Of the current device, uninitialised, aligned to 256 bytes; at least one byte.
[[nodiscard]] DeviceMemory allocate_device(std::size_t num_bytes);
/// Of whole huge pages where the system has them, which are pinned ten times as fast as small ones,
/// and filled by the thread that asks: the driver would fill one thread's after the other's.
[[nodiscard]] PinnedMemory allocate_pinned(std::size_t num_bytes);

/// Scratch memory of an operation: grows to the largest use and stays.
class Workspace {
 public:
  /// How often any workspace was given other memory: what holds an address must look again.
  [[nodiscard]] static std::uint64_t moves();

  /// Room for `count` elements, uninitialised; earlier contents are lost when it grows.
  template <typename T>
  [[nodiscard]] T* get(std::size_t count) {
    return static_cast<T*>(reserve(count * sizeof(T)));
  }
  /// As get, but all bytes are zero the first time; whoever uses it leaves zeros behind.
  template <typename T>
  [[nodiscard]] T* get_zeroed(std::size_t count, const Stream& stream) {
    return static_cast<T*>(reserve_zeroed(count * sizeof(T), stream));
  }

 private:
  void* reserve(std::size_t num_bytes);
  void* reserve_zeroed(std::size_t num_bytes, const Stream& stream);

  DeviceMemory memory_;
  std::size_t num_bytes_ = 0;
};

}  // namespace m2::cuda
