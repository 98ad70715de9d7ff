#include "ops/linear.h"

#include <algorithm>

#include "base/error.h"
#include "cuda/alignment.h"
#include "cuda/bf16_head.h"
#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/int8_layout.h"
#include "cuda/int8_linear.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/sm90/folded_linear.h"
#include "cuda/sm90/row_tiles.h"
#include "cuda/sm90/sliced_linear.h"
#include "cuda/stream_linear.h"

namespace m2::cuda {
namespace {

constexpr int kPlainThreads = 128;
constexpr int kPlainTokens = 8;

// Any type, size and alignment. One block a weight row (x) and tile of tokens (y).
template <DType kType>
__global__ void plain_linear_kernel(const float* input, WeightView weight, float* output,
                                    std::int64_t num_tokens, bool accumulate) {
  __shared__ float scratch[kPlainTokens][32];
  begin_kernel();
  const std::int64_t row = blockIdx.x;
  const std::int64_t first_token = std::int64_t{blockIdx.y} * kPlainTokens;
  const std::int64_t scale_row = row / weight.block_rows * weight.scale_cols();
  const auto block_cols = static_cast<int>(weight.block_cols);
  const auto cols = static_cast<int>(weight.cols);
  float sums[kPlainTokens] = {};
  for (int col = threadIdx.x; col < cols; col += kPlainThreads) {
    float value = load_element<kType>(weight.data, row * cols + col);
    if constexpr (kType == DType::kF8E4M3) value *= weight.scale[scale_row + col / block_cols];
#pragma unroll
    for (int i = 0; i < kPlainTokens; ++i) {
      if (first_token + i < num_tokens) sums[i] += value * input[(first_token + i) * cols + col];
    }
  }
#pragma unroll
  for (int i = 0; i < kPlainTokens; ++i) {
    if (first_token + i >= num_tokens) break;
    const float sum = sum_of_block(sums[i], scratch[i]);
    if (threadIdx.x != 0) continue;
    float& to = output[(first_token + i) * weight.rows + row];
    to = accumulate ? to + sum : sum;
  }
}

template <DType kType>
void plain_linear(const LinearArgs& args, Context& context) {
  const std::int64_t num_tokens = args.input.shape[0];
  const dim3 grid(static_cast<unsigned>(args.weight.rows),
                  static_cast<unsigned>((num_tokens + kPlainTokens - 1) / kPlainTokens));
  launch_kernel(context, plain_linear_kernel<kType>, grid, kPlainThreads, 0, args.input.as<float>(),
                args.weight, args.output.as<float>(), num_tokens, args.accumulate);
}

// The router at decode: F32 rows in vectors, all of a thread's in flight. Grid as above.
template <int kTokens>
__global__ void __launch_bounds__(kPlainThreads)
    f32_linear_kernel(const float4* input, const float4* weight, float* output, int rows,
                      int vectors, int num_tokens, bool accumulate) {
  __shared__ float scratch[kTokens][32];
  begin_kernel();
  const int row = static_cast<int>(blockIdx.x);
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  float sums[kTokens] = {};
#pragma unroll 6
  for (int i = threadIdx.x; i < vectors; i += kPlainThreads) {
    const float4 w = __ldg(weight + std::int64_t{row} * vectors + i);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (first_token + t >= num_tokens) break;
      const float4 x = input[std::int64_t{first_token + t} * vectors + i];
      sums[t] += w.x * x.x + w.y * x.y + w.z * x.z + w.w * x.w;
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    if (first_token + t >= num_tokens) break;
    const float sum = sum_of_block(sums[t], scratch[t]);
    if (threadIdx.x != 0) continue;
    float& to = output[std::int64_t{first_token + t} * rows + row];
    to = accumulate ? to + sum : sum;
  }
}

template <int kTokens>
void f32_linear(const LinearArgs& args, Context& context) {
  const auto num_tokens = static_cast<int>(args.input.shape[0]);
  const dim3 grid(static_cast<unsigned>(args.weight.rows),
                  static_cast<unsigned>((num_tokens + kTokens - 1) / kTokens));
  launch_kernel(context, f32_linear_kernel<kTokens>, grid, kPlainThreads, 0,
                static_cast<const float4*>(args.input.data),
                static_cast<const float4*>(args.weight.data), args.output.as<float>(),
                static_cast<int>(args.weight.rows), static_cast<int>(args.weight.cols / 4),
                num_tokens, args.accumulate);
}

void plain_linear(const LinearArgs& args, Context& context) {
  const WeightView& weight = args.weight;
  const bool vectors =
      weight.cols % 4 == 0 && is_aligned(weight.data) && is_aligned(args.input.data);
  if (weight.dtype == DType::kF32 && vectors) {
    return args.input.shape[0] == 1 ? f32_linear<1>(args, context) : f32_linear<8>(args, context);
  }
  for_weight_type(weight.dtype, [&](auto tag) { plain_linear<tag.value>(args, context); });
}

void check_products(std::span<const LinearArgs> products) {
  for (const LinearArgs& args : products) {
    check(args);
    M2_REQUIRE(ErrorCode::kUnsupported,
               args.weight.block_format == BlockFormat::kNone || is_int8(args.weight),
               "cuda: linear: weights in ", block_format_name(args.weight.block_format));
  }
}

bool has_int8(std::span<const LinearArgs> products) {
  return std::ranges::any_of(products, [](const auto& args) { return is_int8(args.weight); });
}

// Kernels for other weights do not look at block formats.
void mixed_linears(std::span<const LinearArgs> products, Context& context) {
  if (int8_linears(products, nullptr, context)) return;
  for (const LinearArgs& args : products) linear(args, context);
}

bool head_linear(std::span<const LinearArgs> products, const RmsNormArgs* norm, Context& context) {
  return products.size() == 1 && bf16_head(products.front(), norm, context);
}

// Not one token: most of what its products would be is padding.
bool tile_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm, Context& context) {
  return !products.empty() && products.front().input.shape[0] > 1 &&
         sm90::row_tile_linears(products, norm, context);
}

}  // namespace

void linear(const LinearArgs& args, Context& context) { linears({&args, 1}, context); }

void norm_linears(const RmsNormArgs& norm, std::span<const LinearArgs> products, Context& context) {
  check(norm);
  check_products(products);
  if (norm.input.shape[0] == 0) return;
  if (has_int8(products)) {
    if (int8_linears(products, &norm, context)) return check_launch("norm_linears");
    rms_norm(norm, context);
    return mixed_linears(products, context);
  }
  if (head_linear(products, &norm, context)) return check_launch("norm_linears");
  if (sm90::sliced_linears(products, &norm, context) ||
      sm90::folded_linears(products, &norm, context) || tile_linears(products, &norm, context)) {
    return check_launch("norm_linears");
  }
  if (!products.empty() && sm90::fits_linears(products, context)) {
    sm90::linears(products, &norm, context);
    return check_launch("norm_linears");
  }
  rms_norm(norm, context);
  linears(products, context);
}

void linears(std::span<const LinearArgs> products, Context& context) {
  check_products(products);
  if (products.empty() || products.front().input.shape[0] == 0) return;
  if (has_int8(products)) return mixed_linears(products, context);
  if (head_linear(products, nullptr, context)) return check_launch("linear");
  if (sm90::fits_linears(products, context)) {
    sm90::linears(products, nullptr, context);
    return check_launch("linear");
  }
  if (sm90::sliced_linears(products, nullptr, context) ||
      sm90::folded_linears(products, nullptr, context) ||
      tile_linears(products, nullptr, context) || stream_linears(products, context)) {
    return check_launch("linear");
  }
  if (products.size() == 1) {
    plain_linear(products.front(), context);
  } else {
    for (const LinearArgs& args : products) linear(args, context);
  }
  check_launch("linear");
}

}  // namespace m2::cuda
