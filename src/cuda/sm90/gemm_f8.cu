// The gemm kernels of F8_E4M3 weights.
#include "cuda/sm90/gemm_launch.cuh"

namespace m2::cuda::sm90 {

void gemm_f8(const Gemm& gemm, Output output, Context& context) {
  launch_gemm<Format::kF8>(gemm, output, context);
}

}  // namespace m2::cuda::sm90
