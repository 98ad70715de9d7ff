// Launches of the kernel for one storage format.
#pragma once

#include "cuda/cluster_launch.h"
#include "cuda/sm90/gemm.cuh"

namespace m2::cuda::sm90 {

/// As many clusters as run at once: the work is divided among them.
template <Format kFormat, typename Kernel>
void launch_clusters(const Context& context, Kernel kernel, int shared_bytes, const Gemm& gemm) {
  constexpr int kBlocks = kCluster<kFormat>;
  allow_shared_memory(kernel, shared_bytes);
  const auto launch = [&](int clusters) -> ClusterLaunch {
    return {context, static_cast<unsigned>(clusters * kBlocks), kBlocks, kGemmThreads,
            shared_bytes};
  };
  launch(launch(context.num_sms / kBlocks).most_at_once(kernel)).start(kernel, gemm);
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
