// Launches in clusters of blocks (Hopper and later).
#pragma once

#include <array>
#include <type_traits>

#include "cuda/context.h"

namespace m2::cuda {

/// How to launch clusters of `cluster` blocks along x.
class ClusterLaunch {
 public:
  ClusterLaunch(const Context& context, dim3 grid, int cluster, int threads, int shared_bytes) {
    attributes_[0].id = cudaLaunchAttributeClusterDimension;
    attributes_[0].val.clusterDim.x = static_cast<unsigned>(cluster);
    attributes_[0].val.clusterDim.y = attributes_[0].val.clusterDim.z = 1;
    attributes_[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes_[1].val.programmaticStreamSerializationAllowed = 1;
    config_.gridDim = grid;
    config_.blockDim = dim3(static_cast<unsigned>(threads));
    config_.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
    config_.stream = context.stream.get();
    config_.attrs = attributes_.data();
    config_.numAttrs = context.overlaps_kernels ? 2 : 1;
  }
  ClusterLaunch(const ClusterLaunch&) = delete;
  ClusterLaunch& operator=(const ClusterLaunch&) = delete;

  /// How many clusters the device runs at once; blocks of one lie close together, so that some
  /// multiprocessors may find no use.
  template <typename... Parameters>
  [[nodiscard]] int most_at_once(void (*kernel)(Parameters...)) const {
    int count = 0;
    require(cudaOccupancyMaxActiveClusters(&count, reinterpret_cast<const void*>(kernel), &config_),
            "count the clusters that run at once");
    return count;
  }
  /// As launch_kernel.
  template <typename... Parameters>
  void start(void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) const {
    require(cudaLaunchKernelEx(&config_, kernel, arguments...), "launch a kernel in clusters");
  }

 private:
  std::array<cudaLaunchAttribute, 2> attributes_ = {};
  cudaLaunchConfig_t config_ = {};
};

}  // namespace m2::cuda
