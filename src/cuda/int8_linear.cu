// Products of up to eight tokens with int8 weights, by claimed tiles: a tile is one bulk copy of
// the units of sixteen rows (int8_layout.h). Tokens are f16 after scaling each token's 128 columns
// to below 1 by a power of two; codes go to the matrix units as f16 numbers code * scale.
#include "cuda/int8_linear.h"

#include <algorithm>

#include "cuda/alignment.h"
#include "cuda/claimed_tiles.cuh"
#include "cuda/int8_operand.cuh"
#include "cuda/int8_units.h"
#include "cuda/sm90/row_tiles.h"

namespace m2::cuda {
namespace {

constexpr int kSteps = kInt8Columns / 16;  // of an mma, in a unit

__device__ std::uint32_t word_of(const uint4& vector, int index) {
  return index == 0 ? vector.x : index == 1 ? vector.y : index == 2 ? vector.z : vector.w;
}

// A number of shared memory, twice.
__device__ __half2 load_scale(std::uint32_t address) {
  std::uint16_t bits;
  asm volatile("ld.shared.u16 %0, [%1];" : "=h"(bits) : "r"(address) : "memory");
  return __half2half2(__ushort_as_half(bits));
}

__device__ float squares_of(float4 x) { return x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w; }

__device__ float largest_of(float4 x) {
  return fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
}

// A warp's columns of the tokens, units of them: token lane / 4.
template <int kUnits>
class Int8Tile {
 public:
  __host__ __device__ static int num_bytes(int cols) {
    return cols / kInt8Columns * kInt8UnitBytes;
  }
  __host__ __device__ static int slot_bytes(int cols) { return num_bytes(cols); }
  __device__ static void copy(const void* weight, int tile, int cols, std::uint32_t to,
                              std::uint32_t barrier) {
    if (threadIdx.x % 32 != 0) return;
    const std::int64_t from = std::int64_t{tile} * num_bytes(cols);
    copy_weights(to, static_cast<const char*>(weight) + from, num_bytes(cols), barrier);
  }

  template <bool kNormed>
  __device__ float fill(const TileLinear& args, int warp) {
    first_unit_ = warp * kUnits;
    count_ = min(kUnits, max(0, args.cols / kInt8Columns - first_unit_));
    float squares = 0.0F;
#pragma unroll
    for (int u = 0; u < kUnits; ++u) fill_unit<kNormed>(args, u, squares);
    return squares;
  }

  __device__ void add(std::uint32_t slot, float (&sums)[4]) const {
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      if (u < count_) multiply(slot + (first_unit_ + u) * kInt8UnitBytes, u, sums);
    }
  }

 private:
  template <bool kNormed>
  __device__ void fill_unit(const TileLinear& args, int u, float& squares) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int token = lane / 4;
    const int column = (first_unit_ + u) * kInt8Columns + lane % 4 * 32;
    const bool used = token < args.num_tokens && u < count_;
    const auto* row =
        reinterpret_cast<const float4*>(args.input + std::int64_t{token} * args.cols + column);
    float4 x[kSteps];
#pragma unroll
    for (int step = 0; step < kSteps; ++step) x[step] = used ? row[step] : float4{};
    if constexpr (kNormed) {
      const auto* weight = reinterpret_cast<const float4*>(args.norm_weight + column);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const float4 w = used ? __ldg(weight + step) : float4{};
        float4& v = x[step];
        squares += squares_of(v);
        v = {v.x * w.x, v.y * w.y, v.z * w.z, v.w * w.w};
      }
    }
    float largest = 0.0F;
#pragma unroll
    for (const float4& v : x) largest = fmaxf(largest, largest_of(v));
    for (int lanes = 1; lanes < 4; lanes *= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, lanes));
    }
    const PowerScale power = scale_above(largest);
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const float4& v = x[step];
      const SplitQuad parts = split_quad<false>(
          {v.x * power.inverse, v.y * power.inverse, v.z * power.inverse, v.w * power.inverse});
      tokens_[u][step][0] = parts.high[0];
      tokens_[u][step][1] = parts.high[1];
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      scales_[u][i] = __shfl_sync(kAllLanes, power.scale, (lane % 4 * 2 + i) * 4);
    }
  }

  // sums += a unit in shared memory times the tokens: rows lane / 4 and that + 8.
  __device__ void multiply(std::uint32_t unit, int u, float (&sums)[4]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    float products[2][4] = {};  // two chains hide each other's latency
    const std::uint32_t scales = unit + kInt8CodeBytes + lane * 2;
    const __half2 upper_scale = load_scale(scales);
    const __half2 lower_scale = load_scale(scales + kInt8Rows / 2 * 8);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const uint4 upper = load_shared(unit + (half * 32 + lane) * 16);
      const uint4 lower = load_shared(unit + ((2 + half) * 32 + lane) * 16);
#pragma unroll
      for (int step = 0; step < kSteps / 2; ++step) {
        mma<false>(products[half], expand_int8(word_of(upper, step), upper_scale),
                   expand_int8(word_of(lower, step), lower_scale),
                   tokens_[u][half * (kSteps / 2) + step]);
      }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sums[i] += (products[0][i] + products[1][i]) * scales_[u][i % 2];
    }
  }

  std::uint32_t tokens_[kUnits][kSteps][2];
  float scales_[kUnits][2];  // of the tokens whose sums the lane has: lane % 4 * 2, + 1
  int first_unit_;
  int count_;  // of the warp's units
};

bool share_input(std::span<const LinearArgs> products) {
  const LinearArgs& first = products.front();
  return products.size() <= LinearParts::kMost &&
         std::ranges::all_of(products, [&](const LinearArgs& args) {
           return args.input.data == first.input.data && args.weight.cols == first.weight.cols;
         });
}

// Up to eight tokens.
bool multiply_codes(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                    Context& context) {
  const LinearArgs& first = products.front();
  const TensorView& input = norm == nullptr ? first.input : norm->input;
  constexpr std::int64_t kMostUnits = 4;
  const std::int64_t all_units = first.weight.cols / kInt8Columns;
  const std::int64_t units = (all_units + kTileWarps - 1) / kTileWarps;  // of a warp
  const bool aligned = is_aligned(input.data) && (norm == nullptr || is_aligned(norm->weight.data));
  if (!context.has_bulk_copies || !aligned || units > kMostUnits || !share_input(products)) {
    return false;
  }
  if (units == 1) launch_tiles<Int8Tile<1>>(products, norm, context);
  if (units == 2) launch_tiles<Int8Tile<2>>(products, norm, context);
  if (units > 2) launch_tiles<Int8Tile<4>>(products, norm, context);
  return true;
}

// Up to 64 tokens.
bool multiply_few(std::span<const LinearArgs> products, const RmsNormArgs* norm, Context& context) {
  const std::int64_t num_tokens = products.front().input.shape[0];
  if (num_tokens <= kTileTokens && multiply_codes(products, norm, context)) return true;
  return sm90::row_tile_linears(products, norm, context);
}

// Any number of tokens: the weights become BF16.
void multiply_widened(const LinearArgs& args, Context& context) {
  const auto count = static_cast<std::size_t>(args.weight.rows * args.weight.cols);
  constexpr std::size_t kFence = 2;
  auto* values = context.widened.get<__nv_bfloat16>(count + kFence);
  widen_int8(args.weight, args.weight.data, values, context);
  // Kernels ask for weights, which are constant elsewhere, before those ahead of them have ended;
  // but not across a memset.
  require(cudaMemsetAsync(values + count, 0, kFence * sizeof(*values), context.stream.get()),
          "wait for widened weights");
  LinearArgs plain = args;
  plain.weight = {
      .data = values, .dtype = DType::kBF16, .rows = args.weight.rows, .cols = args.weight.cols};
  linear(plain, context);
}

LinearArgs token_range(const LinearArgs& args, std::int64_t first, std::int64_t count) {
  LinearArgs part = args;
  part.input = {
      args.input.as<float>() + first * args.weight.cols, DType::kF32, {count, args.weight.cols}};
  part.output = {
      args.output.as<float>() + first * args.weight.rows, DType::kF32, {count, args.weight.rows}};
  return part;
}

}  // namespace

bool int8_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm, Context& context) {
  const auto has_codes = [](const LinearArgs& args) { return is_int8(args.weight); };
  if (!std::ranges::all_of(products, has_codes)) return false;
  const std::int64_t num_tokens = products.front().input.shape[0];
  if (multiply_few(products, norm, context)) return true;
  if (norm != nullptr) rms_norm(*norm, context);
  // Scratch memory is bounded: a head is multiplied with a few tokens at a time instead.
  constexpr std::int64_t kMostWidened = std::int64_t{64} << 20U;  // numbers
  for (const LinearArgs& args : products) {
    if (args.weight.rows * args.weight.cols <= kMostWidened) {
      multiply_widened(args, context);
      continue;
    }
    for (std::int64_t first = 0; first < num_tokens; first += sm90::kTileTokensMost) {
      const std::int64_t count = std::min<std::int64_t>(sm90::kTileTokensMost, num_tokens - first);
      const LinearArgs few = token_range(args, first, count);
      if (!multiply_few({&few, 1}, nullptr, context)) multiply_widened(few, context);
    }
  }
  return true;
}

}  // namespace m2::cuda
