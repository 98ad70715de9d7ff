// Loads that stay where they stand: the compiler moves others, of constants too, from before the
// wait for earlier kernels (launch.cuh) to behind it.
#pragma once

namespace m2::cuda::sm90 {

/// Sixteen bytes of constants.
__device__ inline float4 load_vector(const float* from) {
  float4 x;
  asm volatile("ld.global.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
               : "l"(from)
               : "memory");
  return x;
}

/// Of what other kernels write.
__device__ inline float4 load_written_vector(const float* from) {
  float4 x;
  asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
               : "l"(from)
               : "memory");
  return x;
}

}  // namespace m2::cuda::sm90
