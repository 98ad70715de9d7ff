// Barriers in shared memory and the bulk copies that complete on them (Hopper and later).
#pragma once

#include <cstdint>

namespace m2::cuda {

__device__ inline std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

/// Sixteen bytes of shared memory.
__device__ inline uint4 load_shared(std::uint32_t address) {
  uint4 value;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(address)
               : "memory");
  return value;
}

/// Eight bytes of shared memory.
__device__ inline uint2 load_shared_pair(std::uint32_t address) {
  uint2 value;
  asm volatile("ld.shared.v2.u32 {%0,%1}, [%2];"
               : "=r"(value.x), "=r"(value.y)
               : "r"(address)
               : "memory");
  return value;
}

#if __CUDA_ARCH__ >= 900 || !defined(__CUDA_ARCH__)

/// A phase of the barrier ends after `count` arrivals and all bytes that they announced. Then
/// fence_barriers() and a barrier of the block before the first use.
__device__ inline void init_barrier(std::uint32_t barrier, int count) {
  asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
}
__device__ inline void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ inline void arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(barrier) : "memory");
}
__device__ inline void arrive_expecting(std::uint32_t barrier, int num_bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(num_bytes)
               : "memory");
}
/// Until the phase of this parity has ended.
__device__ inline void await_phase(std::uint32_t barrier, int parity) {
  asm volatile(
      "{.reg .pred done;\n"
      "again: mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
      "@!done bra again;}" ::"r"(barrier),
      "r"(parity)
      : "memory");
}

/// `num_bytes`, both addresses and the size multiples of sixteen.
__device__ inline void copy_bulk(std::uint32_t shared, const void* global, int num_bytes,
                                 std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared),
      "l"(global), "r"(num_bytes), "r"(barrier)
      : "memory");
}

/// What createpolicy.fractional.L2::evict_first gives.
constexpr std::uint64_t kEvictFirst = 0x12F0000000000000;

/// copy_bulk() of weights that are read once a step: they leave the second cache before what is
/// small and read again. All large streams of a step have to do so (H200: decode of 1 to 32 tokens
/// 2 to 5% faster; with the experts' or the dense weights alone nothing is gained).
__device__ inline void copy_weights(std::uint32_t shared, const void* global, int num_bytes,
                                    std::uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1], %2, [%3], %4;" ::"r"(shared),
      "l"(global), "r"(num_bytes), "r"(barrier), "l"(kEvictFirst)
      : "memory");
}

/// Into the second cache; address and size multiples of sixteen.
__device__ inline void prefetch_bulk(const void* global, int num_bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(global), "r"(num_bytes)
               : "memory");
}

#else  // never launched there: see Context::has_bulk_copies

__device__ inline void init_barrier(std::uint32_t, int) {}
__device__ inline void fence_barriers() {}
__device__ inline void arrive(std::uint32_t) {}
__device__ inline void arrive_expecting(std::uint32_t, int) {}
__device__ inline void await_phase(std::uint32_t, int) {}
__device__ inline void copy_bulk(std::uint32_t, const void*, int, std::uint32_t) {}
__device__ inline void copy_weights(std::uint32_t, const void*, int, std::uint32_t) {}
__device__ inline void prefetch_bulk(const void*, int) {}

#endif

}  // namespace m2::cuda
