// Products of up to eight tokens with int8 weights, bound by reading the codes.
//
// A block takes sixteen rows at a time, its twelve warps the columns of them: each has a ring of
// its own, which one bulk copy fills with its units of the sixteen rows (int8_layout.h), and keeps
// its columns of the tokens in registers, as f16 after scaling each token's 128 columns to below 1
// by a power of two. Codes go to the matrix units as f16 numbers code * scale. The warps' sums meet
// in shared memory, always in the same order.
#include "cuda/int8_linear.h"

#include <algorithm>

#include "cuda/bulk_copy.cuh"
#include "cuda/int8_operand.cuh"
#include "cuda/int8_units.h"
#include "cuda/launch.cuh"
#include "cuda/linear_parts.cuh"
#include "cuda/mma.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/row_tiles.h"

namespace m2::cuda {
namespace {

constexpr int kWarps = 12;
constexpr int kThreads = 32 * kWarps;
constexpr int kSteps = kInt8Columns / 16;  // of an mma, in a unit
constexpr int kSumFloats = kWarps * kTileTokens * kInt8Rows;

// Units of a warp side by side, and how many such runs are on their way.
template <int kUnits>
constexpr int kSlots = kUnits == 4 ? 2 : 3;
template <int kUnits>
constexpr int kSharedBytes = kWarps* kSlots<kUnits>*(kUnits* kInt8UnitBytes + 8) +
                             2 * kSumFloats* static_cast<int>(sizeof(float));

struct Int8Linear {
  const float* input;  // [T, K]
  int num_tokens;
  int cols;
  LinearParts parts;  // a unit is sixteen rows
};

// A warp's columns of the tokens: token lane / 4.
template <int kUnits>
struct TokenColumns {
  std::uint32_t values[kUnits][kSteps][2];
  float scales[kUnits][2];  // of the tokens whose sums the lane has: lane % 4 * 2, + 1

  __device__ void fill(const Int8Linear& args, int first_unit) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int token = lane / 4;
#pragma unroll
    for (int u = 0; u < kUnits; ++u) {
      const int column = (first_unit + u) * kInt8Columns;
      const bool used = token < args.num_tokens && column < args.cols;
      const float* row = args.input + std::int64_t{token} * args.cols + column + lane % 4 * 32;
      float4 x[kSteps];
      float largest = 0.0F;
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        x[step] = used ? *reinterpret_cast<const float4*>(row + step * 4) : float4{};
        const float4& v = x[step];
        largest =
            fmaxf(largest, fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w))));
      }
      for (int lanes = 1; lanes < 4; lanes *= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, lanes));
      }
      const PowerScale power = scale_above(largest);
#pragma unroll
      for (int step = 0; step < kSteps; ++step) {
        const float4& v = x[step];
        const SplitQuad parts = split_quad<false>(
            {v.x * power.inverse, v.y * power.inverse, v.z * power.inverse, v.w * power.inverse});
        values[u][step][0] = parts.high[0];
        values[u][step][1] = parts.high[1];
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        scales[u][i] = __shfl_sync(kAllLanes, power.scale, (lane % 4 * 2 + i) * 4);
      }
    }
  }
};

__device__ std::uint32_t word_of(const uint4& vector, int index) {
  return index == 0 ? vector.x : index == 1 ? vector.y : index == 2 ? vector.z : vector.w;
}

// A number of shared memory, twice.
__device__ __half2 load_scale(std::uint32_t address) {
  std::uint16_t bits;
  asm volatile("ld.shared.u16 %0, [%1];" : "=h"(bits) : "r"(address) : "memory");
  return __half2half2(__ushort_as_half(bits));
}

// sums += a unit in shared memory times the tokens: rows lane / 4 and that + 8.
template <int kUnits>
__device__ void multiply(std::uint32_t unit, const TokenColumns<kUnits>& tokens, int u,
                         float (&sums)[4]) {
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
                 tokens.values[u][half * (kSteps / 2) + step]);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
    sums[i] += (products[0][i] + products[1][i]) * tokens.scales[u][i % 2];
}

// A warp's ring.
template <int kUnits>
class UnitRing {
 public:
  __device__ UnitRing(std::uint32_t shared, const Int8Linear& args) : args_(args) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    slots_ = shared + warp * kSlots<kUnits> * kUnits * kInt8UnitBytes;
    barriers_ =
        shared + kWarps * kSlots<kUnits> * kUnits * kInt8UnitBytes + warp * kSlots<kUnits> * 8;
    first_unit = warp * kUnits;
    count = min(kUnits, max(0, args.cols / kInt8Columns - first_unit));
    if (threadIdx.x % 32 == 0) {
      for (int i = 0; i < kSlots<kUnits>; ++i) init_barrier(barriers_ + i * 8, 1);
      fence_barriers();
    }
    __syncwarp();
  }

  /// Asks for the warp's units of sixteen rows; a tile beyond the last is none.
  __device__ void ask(int tile, int slot) const {
    if (threadIdx.x % 32 != 0 || count == 0 || tile >= args_.parts.units) return;
    const LinearPart& part = args_.parts.of(tile);
    const std::int64_t unit =
        std::int64_t{tile - part.first_unit} * (args_.cols / kInt8Columns) + first_unit;
    arrive_expecting(barriers_ + slot * 8, count * kInt8UnitBytes);
    copy_weights(slots_ + slot * kUnits * kInt8UnitBytes,
                 static_cast<const char*>(part.weight) + unit * kInt8UnitBytes,
                 count * kInt8UnitBytes, barriers_ + slot * 8);
  }
  __device__ std::uint32_t wait(int slot, int parity) const {
    await_phase(barriers_ + slot * 8, parity);
    return slots_ + slot * kUnits * kInt8UnitBytes;
  }

  int first_unit;
  int count;  // of the warp's units

 private:
  const Int8Linear& args_;
  std::uint32_t slots_;
  std::uint32_t barriers_;
};

// Grid: blocks that share the tiles of sixteen rows.
template <int kUnits>
__global__ void __launch_bounds__(kThreads, 1) int8_linear_kernel(const Int8Linear args) {
  extern __shared__ uint4 shared[];
  const UnitRing<kUnits> ring(shared_address(shared), args);
  auto* floats = reinterpret_cast<float*>(reinterpret_cast<char*>(shared) +
                                          kWarps * kSlots<kUnits> * (kUnits * kInt8UnitBytes + 8));
  const auto step = static_cast<int>(gridDim.x);
  // Weights are constant: they need not wait for other kernels.
  for (int i = 0; i < kSlots<kUnits>; ++i) ring.ask(static_cast<int>(blockIdx.x) + i * step, i);
  begin_kernel();
  TokenColumns<kUnits> tokens;
  tokens.fill(args, ring.first_unit);
  const auto thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  int slot = 0;
  int parity = 0;
  bool odd = false;
  for (int tile = static_cast<int>(blockIdx.x); tile < args.parts.units; tile += step) {
    float sums[4] = {};
    if (ring.count > 0) {
      const std::uint32_t units = ring.wait(slot, parity);
#pragma unroll
      for (int u = 0; u < kUnits; ++u) {
        if (u < ring.count) multiply<kUnits>(units + u * kInt8UnitBytes, tokens, u, sums);
      }
      __syncwarp();
      ring.ask(tile + kSlots<kUnits> * step, slot);
    }
    if (++slot == kSlots<kUnits>) {
      slot = 0;
      parity ^= 1;
    }
    odd = !odd;  // two buffers in turn: a warp may store a tile's while others still sum the last
    float* current = floats + (odd ? kSumFloats : 0);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int token = lane % 4 * 2 + i % 2;
      current[(thread / 32 * kTileTokens + token) * kInt8Rows + lane / 4 + i / 2 * 8] = sums[i];
    }
    __syncthreads();
    const int row = thread % kInt8Rows;
    const int token = thread / kInt8Rows;
    const LinearPart& part = args.parts.of(tile);
    const int at = (tile - part.first_unit) * kInt8Rows + row;
    if (token >= args.num_tokens || at >= part.rows) continue;
    float sum = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
      sum += current[(warp * kTileTokens + token) * kInt8Rows + row];
    }
    float& output = part.output[std::int64_t{token} * part.rows + at];
    output = part.accumulate ? output + sum : sum;
  }
}

template <int kUnits>
void launch(const Int8Linear& args, Context& context) {
  const int blocks = std::min(args.parts.units, context.num_sms);
  allow_shared_memory(int8_linear_kernel<kUnits>, kSharedBytes<kUnits>);
  launch_kernel(context, int8_linear_kernel<kUnits>, static_cast<unsigned>(blocks), kThreads,
                kSharedBytes<kUnits>, args);
}

bool share_input(std::span<const LinearArgs> products) {
  const LinearArgs& first = products.front();
  return products.size() <= LinearParts::kMost &&
         std::ranges::all_of(products, [&](const LinearArgs& args) {
           return args.input.data == first.input.data && args.weight.cols == first.weight.cols;
         });
}

// Up to eight tokens.
bool multiply_codes(std::span<const LinearArgs> products, Context& context) {
  const LinearArgs& first = products.front();
  constexpr std::int64_t kMostUnits = 4;
  const std::int64_t units = (first.weight.cols / kInt8Columns + kWarps - 1) / kWarps;  // of a warp
  const bool aligned = reinterpret_cast<std::uintptr_t>(first.input.data) % sizeof(float4) == 0;
  if (!context.has_bulk_copies || !aligned || units > kMostUnits || !share_input(products)) {
    return false;
  }
  const Int8Linear args = {.input = first.input.as<float>(),
                           .num_tokens = static_cast<int>(first.input.shape[0]),
                           .cols = static_cast<int>(first.weight.cols),
                           .parts = linear_parts(products, kInt8Rows)};
  if (units == 1) launch<1>(args, context);
  if (units == 2) launch<2>(args, context);
  if (units > 2) launch<4>(args, context);
  return true;
}

// Up to 64 tokens.
bool multiply_few(std::span<const LinearArgs> products, Context& context) {
  if (products.front().input.shape[0] <= kTileTokens && multiply_codes(products, context)) {
    return true;
  }
  return sm90::row_tile_linears(products, nullptr, context);
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

bool int8_linears(std::span<const LinearArgs> products, Context& context) {
  const auto has_codes = [](const LinearArgs& args) { return is_int8(args.weight); };
  if (!std::ranges::all_of(products, has_codes)) return false;
  const std::int64_t num_tokens = products.front().input.shape[0];
  if (multiply_few(products, context)) return true;
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
      if (!multiply_few({&few, 1}, context)) multiply_widened(few, context);
    }
  }
  return true;
}

}  // namespace m2::cuda
