// What a recorded step copies from and to the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/context.h"
#include "m2/tensor.h"

namespace m2::cuda {

/// The copies go through memory of the host that the device reaches by itself: kernels of the
/// record read and write it, so that a replay takes no call of the driver but its launch, and the
/// host sees the end of it a microsecond after the last write instead of five (H200).
class StepCopies {
 public:
  enum class Way { kUp, kDown };

  /// Of the first run, an ordinary one: what records will copy.
  void note(const TensorView& host, const TensorView& device, Way way);
  /// Memory for what was noted.
  void prepare();

  /// Of a recording: the next of the copies that were noted.
  void record(const TensorView& host, const TensorView& device, Way way, const Context& context);
  /// The end of a recording, at which what was asked for is written.
  void finish_recording(const Context& context);

  /// Takes what the host has, when the last replay is through.
  void before_launch(const Context& context);
  /// With downloads: waits and hands them out.
  void after_launch(const Context& context);

 private:
  struct HostFree {
    void operator()(std::byte* memory) const noexcept;
  };
  struct Copy {
    void* host;
    void* device;
    std::size_t num_bytes;
    Way way;
    std::size_t offset;  // in the memory
  };
  // At its beginning. The device answers a replay by its number.
  struct Numbers {
    std::uint32_t launched;
    std::uint32_t done;
  };

  [[nodiscard]] Numbers& numbers() const;
  void wait(const Context& context) const;
  void move(Way way) const;

  std::vector<Copy> copies_;
  std::unique_ptr<std::byte, HostFree> memory_;
  std::size_t num_recorded_ = 0;
  std::uint32_t num_launches_ = 0;
};

}  // namespace m2::cuda
