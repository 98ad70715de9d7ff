// The gemm kernels of int4 experts, a scale for 32 columns.
#include "cuda/sm90/gemm_launch.cuh"

namespace m2::cuda::sm90 {

void gemm_int4_g32(const Gemm& gemm, Output output, Context& context) {
  launch_expert_gemm<Format::kInt4, 32>(gemm, output, context);
}

}  // namespace m2::cuda::sm90
