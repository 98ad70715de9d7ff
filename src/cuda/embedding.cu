#include "ops/embedding.h"

#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/int8_layout.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 256;

// A thread takes one number of a row, so that nothing waits for one load after the other.
__device__ std::int64_t column() { return std::int64_t{blockIdx.y} * kThreads + threadIdx.x; }

template <DType kType>
__global__ void embedding_kernel(const std::int32_t* token_ids,  // [T]
                                 WeightView weight,              // [V, H]
                                 float* output) {                // [T, H]
  begin_kernel();
  const std::int64_t col = column();
  if (col >= weight.cols) return;
  const std::int64_t row = token_ids[blockIdx.x];
  float value = load_element<kType>(weight.data, row * weight.cols + col);
  if constexpr (kType == DType::kF8E4M3) {
    const std::int64_t scale_row = row / weight.block_rows * weight.scale_cols();
    value *= weight.scale[scale_row + col / weight.block_cols];
  }
  output[blockIdx.x * weight.cols + col] = value;
}

// The same from int8 units.
__global__ void int8_embedding_kernel(const std::int32_t* token_ids, const char* units,
                                      std::int64_t cols, float* output) {
  begin_kernel();
  const std::int64_t col = column();
  if (col >= cols) return;
  const std::int64_t row = token_ids[blockIdx.x];
  const char* unit = units + int8_unit(row, col, cols);
  const int code = static_cast<unsigned char>(unit[int8_code_at(row, col)]);
  const auto scale = *reinterpret_cast<const __half*>(unit + int8_scale_at(row, col));
  output[blockIdx.x * cols + col] = static_cast<float>(code - 128) * __half2float(scale);
}

}  // namespace

void embedding(const EmbeddingArgs& args, Context& context) {
  check(args);
  if (args.output.num_elements() == 0) return;
  const dim3 grid(static_cast<unsigned>(args.output.shape[0]),
                  static_cast<unsigned>((args.weight.cols + kThreads - 1) / kThreads));
  if (is_int8(args.weight)) {
    launch_kernel(context, int8_embedding_kernel, grid, kThreads, 0,
                  args.token_ids.as<std::int32_t>(), static_cast<const char*>(args.weight.data),
                  args.weight.cols, args.output.as<float>());
    return check_launch("embedding");
  }
  for_weight_type(args.weight.dtype, [&](auto tag) {
    launch_kernel(context, embedding_kernel<tag.value>, grid, kThreads, 0,
                  args.token_ids.as<std::int32_t>(), args.weight, args.output.as<float>());
  });
  check_launch("embedding");
}

}  // namespace m2::cuda
