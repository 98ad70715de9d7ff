#include "cuda/int8_widen.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "cuda/launch.cuh"
#include "quant/strip_format.h"

namespace m2::cuda {
namespace {

constexpr int kThreads = 256;

// One thread a column, one block row of the grid a row.
__global__ void __launch_bounds__(kThreads)
    widen_int8_kernel(const unsigned char* strips, StripLayout layout, std::int64_t cols,
                      __nv_bfloat16* values) {  // [rows, cols]
  begin_kernel();
  const std::int64_t row = blockIdx.y;
  const std::int64_t col = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (col >= cols) return;
  const unsigned char* strip = strips + row / kStripRows * layout.strip_bytes();
  const std::int64_t in_strip = row % kStripRows;
  const int code = strip[col / 4 * kStripLine + in_strip * 4 + col % 4];
  const auto* scales = reinterpret_cast<const __half*>(strip + layout.code_bytes());
  const float scale = __half2float(scales[col / layout.group_size * kStripRows + in_strip]);
  values[row * cols + col] = __float2bfloat16(static_cast<float>(code - 128) * scale);
}

}  // namespace

void widen_int8(const WeightView& weight, const void* strips, void* values,
                const Context& context) {
  constexpr std::int64_t kMostRows = 65535;  // of a grid
  const StripLayout layout = strip_layout(weight.block_format, weight.cols);
  const std::int64_t step = kMostRows / kStripRows * kStripRows;
  for (std::int64_t first = 0; first < weight.rows; first += step) {
    const dim3 grid(static_cast<unsigned>((weight.cols + kThreads - 1) / kThreads),
                    static_cast<unsigned>(std::min(step, weight.rows - first)));
    launch_kernel(
        context, widen_int8_kernel, grid, kThreads, 0,
        static_cast<const unsigned char*>(strips) + first / kStripRows * layout.strip_bytes(),
        layout, weight.cols, static_cast<__nv_bfloat16*>(values) + first * weight.cols);
    check_launch("widen int8 weights");
  }
}

}  // namespace m2::cuda
