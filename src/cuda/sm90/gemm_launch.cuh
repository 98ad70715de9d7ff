// Launches of the kernel for one storage format.
#pragma once

#include <array>

#include "cuda/sm90/gemm.cuh"

namespace m2::cuda::sm90 {

/// As many clusters as run at once: the work is divided among them.
template <Format kFormat, typename Kernel>
void launch_clusters(const Context& context, Kernel kernel, int shared_bytes, const Gemm& gemm) {
  constexpr unsigned kBlocks = kCluster<kFormat>;
  allow_shared_memory(kernel, shared_bytes);
  std::array<cudaLaunchAttribute, 2> attributes = {};
  attributes[0].id = cudaLaunchAttributeClusterDimension;
  attributes[0].val.clusterDim.x = kBlocks;
  attributes[0].val.clusterDim.y = attributes[0].val.clusterDim.z = 1;
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(context.num_sms) / kBlocks * kBlocks);
  config.blockDim = dim3(kGemmThreads);
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = context.stream.get();
  config.attrs = attributes.data();
  config.numAttrs = 1;
  int count = 0;
  require(cudaOccupancyMaxActiveClusters(&count, kernel, &config), "count resident clusters");
  config.gridDim = dim3(static_cast<unsigned>(count) * kBlocks);
  config.numAttrs = attributes.size();
  require(cudaLaunchKernelEx(&config, kernel, gemm), "launch a product of many tokens");
}

/// Outputs of experts.
template <Format kFormat, int kGroup>
void launch_expert_gemm(const Gemm& gemm, Output output, Context& context) {
  constexpr int kBytes = kSharedBytes<kFormat, kGroup>;
  if (output == Output::kInner) {
    return launch_clusters<kFormat>(context, gemm_kernel<kFormat, Output::kInner, kGroup>, kBytes,
                                    gemm);
  }
  launch_clusters<kFormat>(context, gemm_kernel<kFormat, Output::kRows, kGroup>, kBytes, gemm);
}

template <Format kFormat>
void launch_gemm(const Gemm& gemm, Output output, Context& context) {
  constexpr int kGroup = 128;
  if (output != Output::kTokens) return launch_expert_gemm<kFormat, kGroup>(gemm, output, context);
  launch_clusters<kFormat>(context, gemm_kernel<kFormat, Output::kTokens, kGroup>,
                           kSharedBytes<kFormat, kGroup>, gemm);
}

}  // namespace m2::cuda::sm90
