// Activations into the types that the matrix units take, and the sum over a token's experts.
#include "cuda/sm90/tokens.h"

#include "cuda/int4_operand.cuh"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda::sm90 {
namespace {

constexpr int kThreads = 128;
// Quads that a thread keeps: rows of up to 6,144 columns of a block or 1,536 of a warp are read
// once. Where half as many will do, more rows are on their way together.
constexpr int kMostHeld = 12;
constexpr int kFewHeld = 6;
constexpr float kLargestE4M3 = 448.0F;

struct Conversion {
  const void* input;         // [rows, cols] f32 or bf16
  const float* norm_weight;  // [cols], where rows are normed first
  float eps;
  int max_rows;
  int cols;
  const std::int32_t* num_rows;     // [1], or absent
  const std::int32_t* row_of_slot;  // [rows * copies], or absent
  int copies;
  OperandRows to;

  [[nodiscard]] __device__ std::int64_t destination(std::int64_t row, int copy) const {
    return row_of_slot == nullptr ? row : row_of_slot[row * copies + copy];
  }
};

template <typename Input>
__device__ float4 load_quad(const void* input, std::int64_t quad) {
  if constexpr (sizeof(Input) == 4) {
    return static_cast<const float4*>(input)[quad];
  } else {
    const uint2 pairs = static_cast<const uint2*>(input)[quad];
    const float2 low = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(pairs.x));
    const float2 high = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(pairs.y));
    return {low.x, low.y, high.x, high.y};
  }
}

__device__ float largest_of(float4 x) {
  return fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
}
__device__ float largest_of_warp(float value) {
  for (int step = 16; step > 0; step /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  }
  return value;
}

// Rows of f32 are wide and belong to a block, those of bf16, between two products, to a warp.
template <typename Input>
constexpr int kRowThreads = sizeof(Input) == 4 ? kThreads : 32;

// A row, most or all of it in registers.
template <typename Input, int kHeld>
class HeldRow {
 public:
  static constexpr int kGroup = kRowThreads<Input>;

  __device__ HeldRow(const void* input, int cols, std::int64_t row)
      : input_(input), quads_(cols / 4), first_(row * quads_) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int quad = place() + i * kGroup;
      if (quad < quads_) held_[i] = load_quad<Input>(input_, first_ + quad);
    }
  }

  /// Calls use(quad, numbers) for the thread's quads.
  template <typename Use>
  __device__ void for_each(const Use& use) const {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int quad = place() + i * kGroup;
      if (quad < quads_) use(quad, held_[i]);
    }
    for (int quad = place() + kHeld * kGroup; quad < quads_; quad += kGroup) {
      use(quad, load_quad<Input>(input_, first_ + quad));
    }
  }

  /// rms_norm of a row that is held as a whole.
  __device__ void norm(const float* weight, float eps) {
    __shared__ float scratch[32];
    float sum = 0.0F;
    for_each([&](int, float4 x) { sum += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w; });
    const float mean = sum_of_block(sum, scratch) / static_cast<float>(4 * quads_);
    const float factor = 1.0F / sqrtf(mean + eps);
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int quad = place() + i * kGroup;
      if (quad >= quads_) break;
      const float4 w = __ldg(reinterpret_cast<const float4*>(weight) + quad);
      float4& x = held_[i];
      x = {w.x * (x.x * factor), w.y * (x.y * factor), w.z * (x.z * factor), w.w * (x.w * factor)};
    }
  }

  [[nodiscard]] __device__ float largest() const {
    float found = 0.0F;
    for_each([&](int, float4 x) { found = fmaxf(found, largest_of(x)); });
    found = largest_of_warp(found);
    if constexpr (kGroup > 32) {
      __shared__ float scratch[kGroup / 32];
      if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = found;
      __syncthreads();
      for (const float other : scratch) found = fmaxf(found, other);
    }
    return found;
  }

 private:
  static __device__ int place() { return static_cast<int>(threadIdx.x) % kGroup; }

  const void* input_;
  int quads_;
  std::int64_t first_;
  float4 held_[kHeld];
};

// The row of a thread, which there may not be.
template <typename Input>
__device__ int row_of_thread() {
  constexpr int kRows = kThreads / kRowThreads<Input>;
  return static_cast<int>(blockIdx.x) * kRows + static_cast<int>(threadIdx.x) / kRowThreads<Input>;
}

// A row's largest number becomes the largest of the format.
template <typename Input, int kHeld, bool kNorms>
__global__ void __launch_bounds__(kThreads) convert_f8_kernel(Conversion args) {
  begin_kernel();
  const int from = row_of_thread<Input>();
  if (from >= args.max_rows) return;
  HeldRow<Input, kHeld> row(args.input, args.cols,
                            from);  // asked for before the number of rows is known
  if (args.num_rows != nullptr && from >= *args.num_rows) return;
  if constexpr (kNorms) row.norm(args.norm_weight, args.eps);
  const float largest = fmaxf(row.largest(), 1e-30F);
  const float scale = largest / kLargestE4M3;
  const float inverse = kLargestE4M3 / largest;
  row.for_each([&](int quad, float4 x) {
    const auto low =
        __nv_cvt_float2_to_fp8x2({x.x * inverse, x.y * inverse}, __NV_SATFINITE, __NV_E4M3);
    const auto high =
        __nv_cvt_float2_to_fp8x2({x.z * inverse, x.w * inverse}, __NV_SATFINITE, __NV_E4M3);
    const std::uint32_t codes = low | static_cast<std::uint32_t>(high) << 16U;
    for (int copy = 0; copy < args.copies; ++copy) {
      const std::int64_t to = args.destination(from, copy);
      static_cast<std::uint32_t*>(args.to.data)[to * (args.cols / 4) + quad] = codes;
      if (quad == 0) args.to.scales[to] = scale;
    }
  });
}

template <typename Input>
__global__ void __launch_bounds__(kThreads) convert_bf16_kernel(Conversion args) {
  begin_kernel();
  const int quads = args.cols / 4;
  for (int quad = threadIdx.x; quad < quads; quad += kThreads) {
    const float4 x = load_quad<Input>(args.input, std::int64_t{blockIdx.x} * quads + quad);
    const __nv_bfloat162 low = __floats2bfloat162_rn(x.x, x.y);
    const __nv_bfloat162 high = __floats2bfloat162_rn(x.z, x.w);
    const uint2 pairs = {reinterpret_cast<const std::uint32_t&>(low),
                         reinterpret_cast<const std::uint32_t&>(high)};
    for (int copy = 0; copy < args.copies; ++copy) {
      static_cast<uint2*>(args.to.data)[args.destination(blockIdx.x, copy) * quads + quad] = pairs;
    }
  }
}

// A row is scaled by a power of two to at most 1, so that no number leaves the range of f16.
// Columns go where they meet their int4 weights.
template <typename Input>
__global__ void __launch_bounds__(kThreads) convert_f16_kernel(Conversion args) {
  begin_kernel();
  const int from = row_of_thread<Input>();
  if (from >= args.max_rows) return;
  const HeldRow<Input, kMostHeld> row(args.input, args.cols, from);
  if (args.num_rows != nullptr && from >= *args.num_rows) return;
  const float largest = row.largest();
  const std::uint32_t exponent = min(max(__float_as_uint(largest) >> 23U, 2U), 250U) + 1U;
  const float scale = __uint_as_float(exponent << 23U);
  const float inverse = __uint_as_float((254U - exponent) << 23U);
  row.for_each([&](int quad, float4 x) {
    const __half2 low = __floats2half2_rn(x.x * inverse, x.y * inverse);
    const __half2 high = __floats2half2_rn(x.z * inverse, x.w * inverse);
    const int first = quad / 32 * (kUnitColumns / 2);  // in pairs
    const int column = quad % 32 * 4;
    for (int copy = 0; copy < args.copies; ++copy) {
      const std::int64_t to_row = args.destination(from, copy);
      __half2* to = static_cast<__half2*>(args.to.data) + to_row * (args.cols / 2) + first;
      to[wgmma_column(column) / 2] = low;
      to[wgmma_column(column + 2) / 2] = high;
      if (quad == 0) args.to.scales[to_row] = scale;
    }
  });
}

bool is_narrow(int cols) { return cols <= 4 * kFewHeld * kThreads; }

template <typename Input>
void convert(const Conversion& conversion, Format format, const Context& context) {
  const bool few = sizeof(Input) == 4 && is_narrow(conversion.cols);
  const auto f8_kernel =
      few ? convert_f8_kernel<Input, kFewHeld, false> : convert_f8_kernel<Input, kMostHeld, false>;
  const auto kernel = format == Format::kF8     ? f8_kernel
                      : format == Format::kBF16 ? convert_bf16_kernel<Input>
                                                : convert_f16_kernel<Input>;
  const int block_rows = format == Format::kBF16 ? 1 : kThreads / kRowThreads<Input>;
  const int blocks = (conversion.max_rows + block_rows - 1) / block_rows;
  launch_kernel(context, kernel, static_cast<unsigned>(blocks), kThreads, 0, conversion);
}

struct Split {
  const float* input;  // [rows, cols]
  int cols;
  bool weights;
  const float* norm_weight;  // [cols], or absent: rows are normed first
  float eps;
  float4* normed;  // [rows, cols], of the norm
  uint2* to;       // [rows, 2 cols] bf16, of weights [rows, 3 cols]
};

// One block a row.
template <int kHeld>
__global__ void __launch_bounds__(kThreads) split_rows_kernel(Split args) {
  begin_kernel();
  const int quads = args.cols / 4;
  HeldRow<float, kHeld> held(args.input, args.cols, blockIdx.x);
  if (args.norm_weight != nullptr) held.norm(args.norm_weight, args.eps);
  uint2* row = args.to + std::int64_t{blockIdx.x} * (args.weights ? 3 : 2) * quads;
  held.for_each([&](int quad, float4 x) {
    if (args.norm_weight != nullptr) args.normed[std::int64_t{blockIdx.x} * quads + quad] = x;
    const float values[4] = {x.x, x.y, x.z, x.w};
    __nv_bfloat16 high[4];
    __nv_bfloat16 low[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      high[i] = __float2bfloat16_rn(values[i]);
      low[i] = __float2bfloat16_rn(values[i] - __bfloat162float(high[i]));
    }
    const auto& upper = reinterpret_cast<const uint2&>(high);
    const auto& lower = reinterpret_cast<const uint2&>(low);
    row[quad] = upper;
    row[quads + quad] = args.weights ? upper : lower;
    if (args.weights) row[2 * quads + quad] = lower;
  });
}

void split(const Split& args, std::int64_t num_rows, const Context& context) {
  const auto kernel =
      is_narrow(args.cols) ? split_rows_kernel<kFewHeld> : split_rows_kernel<kMostHeld>;
  launch_kernel(context, kernel, static_cast<unsigned>(num_rows), kThreads, 0, args);
}

struct Combination {
  const uint4* down;                // [rows, H] bf16
  const std::int32_t* row_of_slot;  // [T, K]
  const float* topk_weights;        // [T, K]
  int top_k;
  int vectors;    // of eight columns
  float* output;  // [T, H]
};

// Grid: x along H, y tokens.
__global__ void __launch_bounds__(kThreads) combine_rows_kernel(Combination args) {
  begin_kernel();
  const int vector = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (vector >= args.vectors) return;
  const std::int64_t first = std::int64_t{blockIdx.y} * args.top_k;
  float sums[8] = {};
#pragma unroll 8
  for (int j = 0; j < args.top_k; ++j) {
    const std::int64_t row = args.row_of_slot[first + j];
    const float weight = args.topk_weights[first + j];
    const uint4 values = __ldcs(args.down + row * args.vectors + vector);
    const std::uint32_t words[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(words[i]));
      sums[2 * i] += weight * pair.x;
      sums[2 * i + 1] += weight * pair.y;
    }
  }
  auto* output = reinterpret_cast<float4*>(args.output) +
                 (std::int64_t{blockIdx.y} * args.vectors + vector) * 2;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float4 to = output[i];
    to.x += sums[4 * i];
    to.y += sums[4 * i + 1];
    to.z += sums[4 * i + 2];
    to.w += sums[4 * i + 3];
    output[i] = to;
  }
}

}  // namespace

void convert_tokens(const float* input, int num_tokens, int cols, const TokenRows* groups,
                    int top_k, Format format, const OperandRows& to, const Context& context) {
  convert<float>({.input = input,
                  .norm_weight = nullptr,
                  .max_rows = num_tokens,
                  .cols = cols,
                  .num_rows = nullptr,
                  .row_of_slot = groups == nullptr ? nullptr : groups->row_of_slot,
                  .copies = groups == nullptr ? 1 : top_k,
                  .to = to},
                 format, context);
}

bool can_norm_rows(const RmsNormArgs& norm) {
  const auto aligned = [](const TensorView& tensor) {
    return reinterpret_cast<std::uintptr_t>(tensor.data) % sizeof(float4) == 0;
  };
  return norm.input.shape[1] <= 4 * kMostHeld * kThreads && aligned(norm.input) &&
         aligned(norm.weight) && aligned(norm.output);
}

void norm_tokens(const RmsNormArgs& norm, const OperandRows& to, const Context& context) {
  const std::int64_t num_tokens = norm.input.shape[0];
  const auto kernel = is_narrow(static_cast<int>(norm.input.shape[1]))
                          ? convert_f8_kernel<float, kFewHeld, true>
                          : convert_f8_kernel<float, kMostHeld, true>;
  launch_kernel(context, kernel, static_cast<unsigned>(num_tokens), kThreads, 0,
                {.input = norm.input.data,
                 .norm_weight = norm.weight.as<float>(),
                 .eps = norm.eps,
                 .max_rows = static_cast<int>(num_tokens),
                 .cols = static_cast<int>(norm.input.shape[1]),
                 .num_rows = nullptr,
                 .row_of_slot = nullptr,
                 .copies = 1,
                 .to = to});
}

void convert_inner(const void* input, int cols, const TokenRows& groups, Format format,
                   const OperandRows& to, const Context& context) {
  convert<__nv_bfloat16>({.input = input,
                          .norm_weight = nullptr,
                          .max_rows = groups.max_rows,
                          .cols = cols,
                          .num_rows = groups.num_rows,
                          .row_of_slot = nullptr,
                          .copies = 1,
                          .to = to},
                         format, context);
}

void split_rows(const float* input, std::int64_t num_rows, int cols, bool weights, void* to,
                const Context& context) {
  split({.input = input,
         .cols = cols,
         .weights = weights,
         .norm_weight = nullptr,
         .eps = 0.0F,
         .normed = nullptr,
         .to = static_cast<uint2*>(to)},
        num_rows, context);
}

void norm_split_rows(const RmsNormArgs& norm, void* to, const Context& context) {
  split({.input = norm.input.as<float>(),
         .cols = static_cast<int>(norm.input.shape[1]),
         .weights = false,
         .norm_weight = norm.weight.as<float>(),
         .eps = norm.eps,
         .normed = static_cast<float4*>(norm.output.data),
         .to = static_cast<uint2*>(to)},
        norm.input.shape[0], context);
}

void combine_rows(const void* down, const MoeExpertsArgs& args, const TokenRows& groups,
                  const Context& context) {
  const auto vectors = static_cast<int>(args.output.shape[1] / 8);
  const dim3 grid(static_cast<unsigned>((vectors + kThreads - 1) / kThreads),
                  static_cast<unsigned>(args.output.shape[0]));
  launch_kernel(context, combine_rows_kernel, grid, kThreads, 0,
                {.down = static_cast<const uint4*>(down),
                 .row_of_slot = groups.row_of_slot,
                 .topk_weights = args.topk_weights.as<float>(),
                 .top_k = static_cast<int>(args.topk_ids.shape[1]),
                 .vectors = vectors,
                 .output = args.output.as<float>()});
}

}  // namespace m2::cuda::sm90
