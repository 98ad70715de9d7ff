// Values that blocks of one launch hand each other through memory: each says by itself whether it
// is there, so that nobody needs a fence, which takes microseconds while weights are on their way.
#pragma once

#include <cstdint>

#include "cuda/context.h"

namespace m2::cuda {

/// Of launches after each other that write all values of the same memory. Values end in the
/// launch's mark, 0 or 1 in turns: what the launch before left has the other one. All zero at
/// first.
struct MarkRound {
  int claimed;  // units of work: zero before and after a launch
  int left;     // blocks, likewise
  int round;

  [[nodiscard]] __device__ std::uint32_t mark() const {
    return static_cast<std::uint32_t>(__ldcg(&round)) % 2 ^ 1U;
  }
  /// By one thread of every block, when nobody of it claims or reads the mark any more.
  __device__ void leave() {
    if (atomicAdd(&left, 1) != static_cast<int>(gridDim.x) - 1) return;
    claimed = 0;
    left = 0;
    round ^= 1;
  }
};

struct MarkedValues {
  MarkRound* round;
  float* values;
};

/// `count` values for a launch that writes them all.
inline MarkedValues marked_values(std::size_t count, Context& context) {
  constexpr std::size_t kHead = 64;  // words before the values
  static_assert(sizeof(MarkRound) <= kHead * sizeof(float));
  auto* memory = context.marked_values[count].get_zeroed<float>(kHead + count, context.stream);
  return {reinterpret_cast<MarkRound*>(memory), memory + kHead};
}

__device__ inline void store_marked(float* to, float value, std::uint32_t mark) {
  const std::uint32_t bits = __float_as_uint(value) & ~1U | mark;
  asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(to), "r"(bits) : "memory");
}
/// Sixteen bytes, which need not be there.
__device__ inline float4 load_marked(const float* from) {
  float4 values;
  asm volatile("ld.relaxed.gpu.global.v4.f32 {%0,%1,%2,%3}, [%4];"
               : "=f"(values.x), "=f"(values.y), "=f"(values.z), "=f"(values.w)
               : "l"(from)
               : "memory");
  return values;
}
__device__ inline bool is_marked(float4 values, std::uint32_t mark) {
  const auto differs = [&](float value) { return __float_as_uint(value) ^ mark; };
  return ((differs(values.x) | differs(values.y) | differs(values.z) | differs(values.w)) & 1U) ==
         0;
}

/// The values themselves: the same in every launch, and infinity is infinity again.
__device__ inline float4 without_mark(float4 values) {
  const auto clear = [](float value) { return __uint_as_float(__float_as_uint(value) & ~1U); };
  return {clear(values.x), clear(values.y), clear(values.z), clear(values.w)};
}

}  // namespace m2::cuda
