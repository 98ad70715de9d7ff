// Hopper's instructions under names: barriers in shared memory, bulk copies, clusters, registers.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace m2::cuda::sm90 {

// wgmma and setmaxnreg exist in code for this very architecture only.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define M2_SM90_CODE 1
#else
#define M2_SM90_CODE 0
#endif

#if M2_SM90_CODE

__device__ inline std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

using Barrier = std::uint64_t;

__device__ inline void init_barrier(Barrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals));
}
/// Makes initialised barriers visible to the copy engine and to the cluster.
__device__ inline void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
/// Arrives and announces bytes that bulk copies will bring.
__device__ inline void arrive_expecting(Barrier* barrier, int num_bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(num_bytes)
      : "memory");
}
__device__ inline void arrive(Barrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}
/// Arrives at the same barrier of block `rank` of the cluster.
__device__ inline void arrive_at(Barrier* barrier, unsigned rank) {
  asm volatile(
      "{\n.reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
}
__device__ inline void wait(Barrier* barrier, unsigned parity) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

__device__ inline unsigned cluster_rank() {
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
/// By all threads of a warp together, as the wait that follows.
__device__ inline void arrive_cluster() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ inline void wait_cluster() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
__device__ inline void sync_cluster() {
  arrive_cluster();
  wait_cluster();
}

/// A word of the shared memory of block `rank` of the cluster, where it lies as `word` does here.
__device__ inline int load_of_block(const int* word, unsigned rank) {
  int value;
  asm volatile(
      "{\n.reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %1, %2;\n"
      "ld.shared::cluster.b32 %0, [remote];\n}"
      : "=r"(value)
      : "r"(shared_address(word)), "r"(rank)
      : "memory");
  return value;
}

/// Fetches a tensor map that is used soon.
__device__ inline void prefetch_tensor_map(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
/// Before the first use of a tensor map that lies in device memory.
__device__ inline void acquire_tensor_map(const CUtensorMap* map) {
  asm volatile("fence.proxy.tensormap::generic.acquire.sys [%0], 128;" ::"l"(map) : "memory");
}

__device__ inline void load_tile(void* to, const CUtensorMap* map, Barrier* barrier, int x, int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y)
      : "memory");
}
/// To the same place in every block of the cluster that `mask` names; each block's own barrier
/// counts the bytes.
__device__ inline void load_tile_multicast(void* to, const CUtensorMap* map, Barrier* barrier,
                                           int x, int y, unsigned mask) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "h"(static_cast<std::uint16_t>(mask))
      : "memory");
}
__device__ inline void load_tile_multicast(void* to, const CUtensorMap* map, Barrier* barrier,
                                           int x, int y, int z, int w, unsigned mask) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%3, %4, %5, %6}], [%2], %7;" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z), "r"(w),
      "h"(static_cast<std::uint16_t>(mask))
      : "memory");
}

template <int kRegisters>
__device__ inline void shrink_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void grow_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/// A barrier of `threads` threads of the block.
__device__ inline void sync_threads(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ inline void arrive_threads(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// A place in a ring of kCount stages, and the parity of the phase that its barriers are in.
template <int kCount>
struct RingPlace {
  int stage = 0;
  unsigned parity = 0;
  __device__ void advance() {
    if (++stage < kCount) return;
    stage = 0;
    parity ^= 1U;
  }
};

/// Two warpgroups that take turns in issuing products, so that one computes while the other's
/// products run. Both take equally many turns.
class Turns {
 public:
  __device__ explicit Turns(int group) : group_(group) {
    if (group == 1) pass();
  }
  __device__ void take() const { sync_threads(kFirstBarrier + group_, kThreads); }
  __device__ void pass() const { arrive_threads(kFirstBarrier + 1 - group_, kThreads); }

 private:
  static constexpr int kFirstBarrier = 4;
  static constexpr int kThreads = 256;
  int group_;
};

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
