#include "ops/embedding.h"

#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

// One block a token, its threads along the row.
template <DType kType>
__global__ void embedding_kernel(const std::int32_t* token_ids,  // [T]
                                 WeightView weight,              // [V, H]
                                 float* output) {                // [T, H]
  begin_kernel();
  const std::int64_t row = token_ids[blockIdx.x];
  float* to = output + std::int64_t{blockIdx.x} * weight.cols;
  const std::int64_t scale_row = row / weight.block_rows * weight.scale_cols();
  for (std::int64_t col = threadIdx.x; col < weight.cols; col += blockDim.x) {
    float value = load_element<kType>(weight.data, row * weight.cols + col);
    if constexpr (kType == DType::kF8E4M3) {
      value *= weight.scale[scale_row + col / weight.block_cols];
    }
    to[col] = value;
  }
}

}  // namespace

void embedding(const EmbeddingArgs& args, Context& context) {
  check(args);
  if (args.output.num_elements() == 0) return;
  for_weight_type(args.weight.dtype, [&](auto tag) {
    const auto num_tokens = static_cast<unsigned>(args.output.shape[0]);
    launch_kernel(context, embedding_kernel<tag.value>, num_tokens, 256, 0,
                  args.token_ids.as<std::int32_t>(), args.weight, args.output.as<float>());
  });
  check_launch("embedding");
}

}  // namespace m2::cuda
