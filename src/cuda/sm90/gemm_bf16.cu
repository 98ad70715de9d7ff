// The gemm kernels of BF16 weights.
#include "cuda/sm90/gemm_launch.cuh"

namespace m2::cuda::sm90 {

void gemm_bf16(const Gemm& gemm, Output output, Context& context) {
  launch_gemm<Format::kBF16>(gemm, output, context);
}

}  // namespace m2::cuda::sm90
