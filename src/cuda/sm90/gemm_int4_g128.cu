// The gemm kernels of int4 experts, a scale for 128 columns.
#include "cuda/sm90/gemm_launch.cuh"

namespace m2::cuda::sm90 {

void gemm_int4_g128(const Gemm& gemm, Output output, Context& context) {
  launch_expert_gemm<Format::kInt4, 128>(gemm, output, context);
}

}  // namespace m2::cuda::sm90
