// Activations into the types that the matrix units take.
#include "cuda/sm90/tokens.h"

#include "cuda/alignment.h"
#include "cuda/launch.cuh"
#include "cuda/sm90/held_row.cuh"
#include "cuda/sm90/int4_f8.cuh"

namespace m2::cuda::sm90 {
namespace {

constexpr int kThreads = 128;
constexpr int kCopyThreads = 192;  // a row of 3,072 codes
// Quads that a thread keeps: rows of up to 6,144 columns of a block or 1,536 of a warp are read
// once. Where half as many will do, more rows are on their way together.
constexpr int kMostHeld = 12;
constexpr int kFewHeld = 6;
constexpr int kHeldVectors = 6;  // of eight bf16: the same rows
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

// What was written last is in the second cache, so blocks begin with the last rows.
__device__ int row_of_block() { return static_cast<int>(gridDim.x - 1 - blockIdx.x); }

// The row of a thread, which there may not be. Wide rows belong to a block, narrow ones of bf16 to
// a warp.
template <int kRowThreads>
__device__ int row_of_thread() {
  constexpr int kRows = kThreads / kRowThreads;
  return row_of_block() * kRows + static_cast<int>(threadIdx.x) / kRowThreads;
}

struct F8Scale {
  float scale;
  float inverse;

  // A row's largest number becomes the largest of the format.
  __device__ explicit F8Scale(float largest) {
    largest = fmaxf(largest, 1e-30F);
    scale = largest / kLargestE4M3;
    inverse = kLargestE4M3 / largest;
  }
  [[nodiscard]] __device__ std::uint32_t codes(float4 x) const {
    const auto low =
        __nv_cvt_float2_to_fp8x2({x.x * inverse, x.y * inverse}, __NV_SATFINITE, __NV_E4M3);
    const auto high =
        __nv_cvt_float2_to_fp8x2({x.z * inverse, x.w * inverse}, __NV_SATFINITE, __NV_E4M3);
    return low | static_cast<std::uint32_t>(high) << 16U;
  }
};

// A row of F8 in the order of its weights.
class F8Row {
 public:
  __device__ F8Row(const OperandRows& rows, std::int64_t row, int cols)
      : words_(static_cast<std::uint32_t*>(rows.data) + row * (cols / 4)),
        for_int4_(rows.for_int4) {}

  /// Four columns.
  __device__ void put(int quad, std::uint32_t codes) const {
    if (for_int4_) {
      auto* half = reinterpret_cast<std::uint16_t*>(words_ + even_columns_word(quad)) + quad % 2;
      half[0] = static_cast<std::uint16_t>(even_bytes(codes, 0));
      half[8] = static_cast<std::uint16_t>(odd_bytes(codes, 0));
    } else {
      words_[quad] = codes;
    }
  }
  /// Eight columns.
  __device__ void put(int vector, uint2 codes) const {
    if (for_int4_) {
      const int word = even_columns_word(2 * vector);
      words_[word] = even_bytes(codes.x, codes.y);
      words_[word + 4] = odd_bytes(codes.x, codes.y);
    } else {
      reinterpret_cast<uint2*>(words_)[vector] = codes;
    }
  }

 private:
  static __device__ std::uint32_t even_bytes(std::uint32_t first, std::uint32_t second) {
    return __byte_perm(first, second, 0x6420);
  }
  static __device__ std::uint32_t odd_bytes(std::uint32_t first, std::uint32_t second) {
    return __byte_perm(first, second, 0x7531);
  }

  std::uint32_t* words_;
  bool for_int4_;
};

// One block a row.
template <int kHeld, bool kNorms>
__global__ void __launch_bounds__(kThreads) convert_f8_kernel(Conversion args) {
  begin_kernel();
  const int from = row_of_block();
  HeldRow<kHeld, kThreads> row(args.input, args.cols, from);
  if constexpr (kNorms) row.norm(args.norm_weight, args.eps);
  const F8Scale scale(row.largest());
  row.for_each([&](int quad, float4 x) {
    const std::uint32_t codes = scale.codes(x);
    for (int copy = 0; copy < args.copies; ++copy) {
      const std::int64_t to = args.destination(from, copy);
      F8Row(args.to, to, args.cols).put(quad, codes);
      if (quad == 0) args.to.scales[to] = scale.scale;
    }
  });
}

// Of bf16, to the same rows.
template <int kRowThreads>
__global__ void __launch_bounds__(kThreads) convert_packed_kernel(Conversion args) {
  begin_kernel();
  const int index = row_of_thread<kRowThreads>();
  if (index >= args.max_rows) return;
  // Asked for before the number of rows is known.
  const PackedRow<kHeldVectors, kRowThreads> row(args.input, args.cols, index);
  if (args.num_rows != nullptr && index >= *args.num_rows) return;
  const F8Scale scale(row.largest());
  const F8Row to(args.to, index, args.cols);
  row.for_each([&](int vector, uint4 x) {
    const auto quad = [&](std::uint32_t first, std::uint32_t second) {
      const float2 low = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(first));
      const float2 high = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(second));
      return float4{low.x, low.y, high.x, high.y};
    };
    to.put(vector, uint2{scale.codes(quad(x.x, x.y)), scale.codes(quad(x.z, x.w))});
    if (vector == 0) args.to.scales[index] = scale.scale;
  });
}

struct RowCopy {
  const uint4* from;    // [T, vectors]
  const float* scales;  // [T]
  int vectors;          // of a row
  const std::int32_t* row_of_slot;
  int top_k;
  uint4* to;
  float* to_scales;
};

// A block a token.
__global__ void __launch_bounds__(kCopyThreads) copy_rows_kernel(RowCopy args) {
  begin_kernel();
  const std::int64_t token = row_of_block();
  const float scale = args.scales[token];
  const std::int32_t* rows = args.row_of_slot + token * args.top_k;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < args.top_k; i += kCopyThreads) args.to_scales[rows[i]] = scale;
  for (int i = thread; i < args.vectors; i += kCopyThreads) {
    const uint4 codes = args.from[token * args.vectors + i];
#pragma unroll 8
    for (int j = 0; j < args.top_k; ++j) {
      args.to[std::int64_t{rows[j]} * args.vectors + i] = codes;
    }
  }
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

bool is_narrow(int cols) { return cols <= 4 * kFewHeld * kThreads; }

template <typename Input, int kRowThreads>
void convert_by(const Conversion& conversion, Format format, const Context& context) {
  auto f8_kernel = convert_packed_kernel<kRowThreads>;
  if constexpr (sizeof(Input) == 4) {
    f8_kernel = is_narrow(conversion.cols) ? convert_f8_kernel<kFewHeld, false>
                                           : convert_f8_kernel<kMostHeld, false>;
  }
  const auto kernel = format == Format::kBF16 ? convert_bf16_kernel<Input> : f8_kernel;
  const int block_rows = format == Format::kBF16 ? 1 : kThreads / kRowThreads;
  const int blocks = (conversion.max_rows + block_rows - 1) / block_rows;
  launch_kernel(context, kernel, static_cast<unsigned>(blocks), kThreads, 0, conversion);
}

template <typename Input>
void convert(const Conversion& conversion, Format format, const Context& context) {
  if (sizeof(Input) == 2 && conversion.cols <= 4 * kMostHeld * 32) {
    return convert_by<Input, 32>(conversion, format, context);
  }
  convert_by<Input, kThreads>(conversion, format, context);
}

struct Split {
  const float* input;  // [rows, cols]
  int cols;
  bool weights;
  const float* norm_weight;  // [cols], or absent: rows are normed first
  float eps;
  float4* normed;  // [rows, cols], of the norm, or absent
  OperandRows f8;  // the same as F8, or absent
  uint2* to;       // [rows, 2 cols] bf16, of weights [rows, 3 cols]
};

// One block a row.
template <int kHeld>
__global__ void __launch_bounds__(kThreads) split_rows_kernel(Split args) {
  begin_kernel();
  const std::int64_t index = row_of_block();
  const int quads = args.cols / 4;
  HeldRow<kHeld, kThreads> held(args.input, args.cols, index);
  if (args.norm_weight != nullptr) held.norm(args.norm_weight, args.eps);
  uint2* row = args.to + index * (args.weights ? 3 : 2) * quads;
  held.for_each([&](int quad, float4 x) {
    if (args.normed != nullptr) args.normed[index * quads + quad] = x;
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
  if (args.f8.data == nullptr) return;
  const F8Scale scale(held.largest());
  const F8Row codes(args.f8, index, args.cols);
  held.for_each([&](int quad, float4 x) { codes.put(quad, scale.codes(x)); });
  if (threadIdx.x == 0) args.f8.scales[index] = scale.scale;
}

void split(const Split& args, std::int64_t num_rows, const Context& context) {
  const auto kernel =
      is_narrow(args.cols) ? split_rows_kernel<kFewHeld> : split_rows_kernel<kMostHeld>;
  launch_kernel(context, kernel, static_cast<unsigned>(num_rows), kThreads, 0, args);
}

}  // namespace

void convert_tokens(const TensorView& input, const TokenRows* groups, int top_k, Format format,
                    const OperandRows& to, const Context& context) {
  const Conversion conversion = {.input = input.data,
                                 .norm_weight = nullptr,
                                 .max_rows = static_cast<int>(input.shape[0]),
                                 .cols = static_cast<int>(input.shape[1]),
                                 .num_rows = nullptr,
                                 .row_of_slot = groups == nullptr ? nullptr : groups->row_of_slot,
                                 .copies = groups == nullptr ? 1 : top_k,
                                 .to = to};
  if (input.dtype == DType::kBF16) return convert<__nv_bfloat16>(conversion, format, context);
  convert<float>(conversion, format, context);
}

void copy_rows(const OperandRows& from, const MoeExpertsArgs& args, const TokenRows& groups,
               const OperandRows& to, const Context& context) {
  launch_kernel(context, copy_rows_kernel, static_cast<unsigned>(args.topk_ids.shape[0]),
                kCopyThreads, 0,
                {.from = static_cast<const uint4*>(from.data),
                 .scales = from.scales,
                 .vectors = static_cast<int>(args.hidden_states.shape[1] / 16),
                 .row_of_slot = groups.row_of_slot,
                 .top_k = static_cast<int>(args.topk_ids.shape[1]),
                 .to = static_cast<uint4*>(to.data),
                 .to_scales = to.scales});
}

bool can_norm_rows(const RmsNormArgs& norm) {
  return norm.input.shape[1] <= 4 * kMostHeld * kThreads && is_aligned(norm.input.data) &&
         is_aligned(norm.weight.data) && is_aligned(norm.output.data);
}

void norm_tokens(const RmsNormArgs& norm, const OperandRows& to, const Context& context) {
  const std::int64_t num_tokens = norm.input.shape[0];
  const auto kernel = is_narrow(static_cast<int>(norm.input.shape[1]))
                          ? convert_f8_kernel<kFewHeld, true>
                          : convert_f8_kernel<kMostHeld, true>;
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
         .f8 = {},
         .to = static_cast<uint2*>(to)},
        num_rows, context);
}

void norm_split_rows(const RmsNormArgs& norm, void* to, const OperandRows* f8,
                     const Context& context) {
  split({.input = norm.input.as<float>(),
         .cols = static_cast<int>(norm.input.shape[1]),
         .weights = false,
         .norm_weight = norm.weight.as<float>(),
         .eps = norm.eps,
         .normed = f8 == nullptr ? static_cast<float4*>(norm.output.data) : nullptr,
         .f8 = f8 == nullptr ? OperandRows{} : *f8,
         .to = static_cast<uint2*>(to)},
        norm.input.shape[0], context);
}

}  // namespace m2::cuda::sm90
