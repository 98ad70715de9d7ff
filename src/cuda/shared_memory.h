// Shared memory beyond the default of a block.
#pragma once

#include "cuda/runtime.h"

namespace m2::cuda {

/// Lets a kernel have more than the default 48 KiB of dynamic shared memory.
template <typename Kernel>
void allow_shared_memory(Kernel kernel, int num_bytes) {
  constexpr int kDefault = 48 * 1024;
  if (num_bytes <= kDefault) return;
  require(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                               cudaFuncAttributeMaxDynamicSharedMemorySize, num_bytes),
          "set the shared memory of a kernel");
}

}  // namespace m2::cuda
