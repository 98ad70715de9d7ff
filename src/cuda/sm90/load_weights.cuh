// Copies of tiles of weights that are read once (copy_weights() in bulk_copy.cuh).
#pragma once

#include "cuda/bulk_copy.cuh"
#include "cuda/sm90/ptx.cuh"

namespace m2::cuda::sm90 {

#if M2_SM90_CODE

/// load_tile() of weights.
__device__ inline void load_weights(void* to, const CUtensorMap* map, Barrier* barrier, int x,
                                    int y) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(to)),
      "l"(map), "r"(shared_address(barrier)), "r"(x), "r"(y), "l"(kEvictFirst)
      : "memory");
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
