// Blocks of a cluster (Hopper and later): they run at once and store into each other's shared
// memory. What comes completes on a barrier of the block that gets it (bulk_copy.cuh), so it needs
// neither a fence nor a barrier of the cluster. A kernel that is launched without a cluster must
// not store so: an illegal instruction (H200).
#pragma once

#include <cstdint>

namespace m2::cuda {

#if __CUDA_ARCH__ >= 900 || !defined(__CUDA_ARCH__)

/// By all threads, after fence_barriers() by those that have initialised barriers.
__device__ inline void announce_to_cluster() {
  asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory");
}
/// By all threads, once, until all blocks have announced themselves; no block may store into others
/// before. A block that gets something may not end before it is there.
__device__ inline void await_cluster() {
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
}

/// Where an address in the block's shared memory lies in that of block `rank`.
__device__ inline std::uint32_t address_in_cluster(std::uint32_t shared, int rank) {
  std::uint32_t address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared), "r"(rank));
  return address;
}

/// Sixteen bytes, aligned, that complete on a barrier of the same block.
__device__ inline void store_in_cluster(std::uint32_t address, float4 value,
                                        std::uint32_t barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1,%2,%3,%4}, "
      "[%5];" ::"r"(address),
      "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w), "r"(barrier)
      : "memory");
}
/// Four bytes.
__device__ inline void store_in_cluster(std::uint32_t address, float value, std::uint32_t barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.f32 [%0], %1, [%2];" ::"r"(
          address),
      "f"(value), "r"(barrier)
      : "memory");
}
/// Eight bytes.
__device__ inline void store_in_cluster(std::uint32_t address, float2 value,
                                        std::uint32_t barrier) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1,%2}, [%3];" ::
          "r"(address),
      "f"(value.x), "f"(value.y), "r"(barrier)
      : "memory");
}

#else  // never launched there: see Context::has_bulk_copies

__device__ inline void announce_to_cluster() {}
__device__ inline void await_cluster() {}
__device__ inline std::uint32_t address_in_cluster(std::uint32_t shared, int) { return shared; }
__device__ inline void store_in_cluster(std::uint32_t, float4, std::uint32_t) {}
__device__ inline void store_in_cluster(std::uint32_t, float, std::uint32_t) {}
__device__ inline void store_in_cluster(std::uint32_t, float2, std::uint32_t) {}

#endif

}  // namespace m2::cuda
