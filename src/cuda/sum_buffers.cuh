// The sums of the warps that multiply, on their way to the warps that add them up.
//
// A warp has sums over its own columns of a unit. It leaves them in one of a few buffers and goes
// on; a warp that only adds takes all of a unit together, writes the results and gives the buffer
// back. (With a barrier of all warps in their place every unit waited for the sums before it: some
// 1,000 cycles, as long as its weights need to come.)
#pragma once

#include "cuda/expert_stages.cuh"
#include "cuda/mma.cuh"

namespace m2::cuda {

template <int kTokens>
class SumBuffers {
 public:
  static constexpr int kFloats = 2 * kTokens * kTileOfRows;  // of a warp, two tiles of rows
  static constexpr int kBuffers = kAddingWarps;              // each has its own
  static constexpr int kInfoBytes = 128;
  static constexpr int kBufferBytes =
      kInfoBytes + kStreamWarps * kFloats * static_cast<int>(sizeof(float));
  static constexpr int kBarrierBytes = 128;
  static constexpr int kBytes = kBarrierBytes + kBuffers * kBufferBytes;

  /// `shared` [kBytes], aligned to 16 bytes; then a barrier of the block.
  __device__ explicit SumBuffers(char* shared)
      : shared_(shared), barriers_(shared_address(shared)) {
    if (threadIdx.x != 0) return;
    for (int i = 0; i < kBuffers; ++i) {
      init_barrier(full(i), kStreamWarps);
      init_barrier(empty(i), 1);
    }
    fence_barriers();
  }

  /// By every multiplying warp: the tail of the unit as leave() needs it, while it is there.
  [[nodiscard]] __device__ static int remember(const StageTail& tail) {
    return warp() == 0 && lane() < StageTail::kInts ? tail.get(lane()) : 0;
  }
  /// By every multiplying warp: store(floats [kFloats] of the warp) its sums of the next unit.
  template <typename Store>
  __device__ void leave(int remembered, const Store& store) {
    await_phase(empty(index_), parity_ ^ 1);
    store(sums() + warp() * kFloats);
    if (warp() == 0 && lane() < StageTail::kInts) info()[lane()] = remembered;
    __syncwarp();
    if (lane() == 0) arrive(full(index_));
    advance();
  }
  /// Ends take() of every adding warp: the units of a half are through.
  __device__ void leave_end() {
    for (int i = 0; i < kBuffers; ++i) leave(-1, [](float*) {});
  }

  /// By adding warp `own`: add(info, slot_of(token), sums [warps, kFloats]) for each unit of its
  /// buffer until the next end.
  template <typename Add>
  __device__ void take(int own, const Add& add) {
    index_ = own;
    while (true) {
      await_phase(full(own), parity_);
      const UnitInfo unit = *reinterpret_cast<const UnitInfo*>(info());
      const auto slot_of = [&](int token) { return info()[StageTail::kFirstSlot + token]; };
      if (!unit.is_end()) add(unit, slot_of, static_cast<const float*>(sums()));
      __syncwarp();
      if (lane() == 0) arrive(empty(own));
      parity_ ^= 1;
      if (unit.is_end()) return;
    }
  }

  /// Number `index` of the floats, over the warps in their order.
  [[nodiscard]] __device__ static float total(const float* sums, int index) {
    float result = 0.0F;
#pragma unroll
    for (int i = 0; i < kStreamWarps; ++i) result += sums[i * kFloats + index];
    return result;
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  [[nodiscard]] __device__ std::uint32_t full(int i) const { return barriers_ + i * 16; }
  [[nodiscard]] __device__ std::uint32_t empty(int i) const { return full(i) + 8; }
  [[nodiscard]] __device__ int* info() const {
    return reinterpret_cast<int*>(shared_ + kBarrierBytes + index_ * kBufferBytes);
  }
  [[nodiscard]] __device__ float* sums() const {
    return reinterpret_cast<float*>(shared_ + kBarrierBytes + index_ * kBufferBytes + kInfoBytes);
  }
  __device__ void advance() {
    if (++index_ < kBuffers) return;
    index_ = 0;
    parity_ ^= 1;
  }

  char* shared_;
  std::uint32_t barriers_;  // full and empty of each buffer
  int index_ = 0;
  int parity_ = 0;
};

}  // namespace m2::cuda
