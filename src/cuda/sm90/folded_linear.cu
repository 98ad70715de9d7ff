#include "cuda/sm90/folded_linear.h"

#include <algorithm>

#include "cuda/alignment.h"
#include "cuda/dispatch.h"
#include "cuda/launch.cuh"
#include "cuda/linear_parts.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/folded_tokens.cuh"

namespace m2::cuda::sm90 {
namespace {

constexpr int kThreads = kFoldedMultiplyThreads + 32;  // one warp asks for weights
constexpr int kMostSlots = 8;                          // of a warpgroup
// Between the rows of a stage, which then start in different banks: copies of rows side by side
// are a tenth slower (H200).
constexpr int kGapBytes = 16;
// What a block asks for before the tokens, which come behind it.
constexpr int kEarlyBytes = 120 << 10;

// With more, splitting them takes longer than row tiles do (H200, output projection of 4 tokens:
// 17.5 against 11 us; F8 has three parts of a token).
constexpr int most_tokens(DType type) { return type == DType::kF8E4M3 ? 2 : 4; }

struct FoldedLinear {
  FoldedInput input;
  LinearParts parts;  // a unit is eight rows
  int units;          // of a block
  int row_bytes;
  int block_rows;  // of the scales
  int scale_cols;
  int stages;  // of a unit
  int width;   // bytes of a row in a stage; fewer in the last one
  int slots;   // of each warpgroup
  int early;   // stages that are asked for before the tokens

  [[nodiscard]] __host__ __device__ int slot_bytes() const {
    return kFoldedRows * (width + kGapBytes);
  }
  [[nodiscard]] __host__ __device__ int ring_bytes() const {
    return kFoldedGroups * slots * slot_bytes();
  }
};

#if M2_SM90_CODE

struct RingBarriers {
  std::uint64_t full[kFoldedGroups * kMostSlots];
  std::uint64_t empty[kFoldedGroups * kMostSlots];
  std::uint64_t asked;  // for the tokens, the first time
};

// Units of a block that lie side by side in one matrix and share a row of scales.
struct Run {
  int begin;
  int end;
  const char* weight;   // from the first unit's rows on
  const float* scales;  // F8 only
  float* output;        // of token 0 and the first row
  int rows;             // up to the end of the matrix
  int output_width;     // from a token to the next
  bool accumulate;
};

template <DType kType>
__device__ Run run_from(const FoldedLinear& args, int unit, int end) {
  const LinearPart& part = args.parts.of(unit);
  const int row = (unit - part.first_unit) * kFoldedRows;
  Run run = {.begin = unit,
             .end = min(end, unit + (part.rows - row + kFoldedRows - 1) / kFoldedRows),
             .weight = static_cast<const char*>(part.weight) + std::int64_t{row} * args.row_bytes,
             .scales = nullptr,
             .output = part.output + row,
             .rows = part.rows - row,
             .output_width = part.rows,
             .accumulate = part.accumulate};
  if constexpr (kType == DType::kF8E4M3) {
    const int block = row / args.block_rows;
    run.scales = part.scale + block * args.scale_cols;
    run.end = min(run.end, unit + ((block + 1) * args.block_rows - row) / kFoldedRows);
  }
  return run;
}

// A warpgroup's slots of the ring. They are its own: copies may end in any order, and one that
// passed over stages of others could mistake a phase for the one before it.
struct Place {
  int slot = 0;
  unsigned parity = 0;

  __device__ void advance(int slots) {
    if (++slot < slots) return;
    slot = 0;
    parity ^= 1U;
  }
};

__device__ int stage_width(const FoldedLinear& args, int stage) {
  return min(args.width, args.row_bytes - stage * args.width);
}

// By one warp: asks for all weights of the block, whose units go to the warpgroups in turn. What
// is asked for stands in the way of the tokens, so most of it is asked for behind them.
template <DType kType>
__device__ void ask(const FoldedLinear& args, RingBarriers& ring, std::uint32_t stages, Span own) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  Place first;
  Place place;
  int group = 0;
  int asked = 0;
  for (int unit = own.begin; unit < own.end;) {
    const Run run = run_from<kType>(args, unit, own.end);
    for (; unit < run.end; ++unit) {
      place = first;
      const int row = (unit - run.begin) * kFoldedRows + lane;
      const char* from = run.weight + std::int64_t{row} * args.row_bytes;
      const int rows = min(kFoldedRows, run.rows - row + lane);
      for (int stage = 0; stage < args.stages; ++stage, place.advance(args.slots)) {
        if (asked++ == args.early) wait(&ring.asked, 0);
        const int slot = group * args.slots + place.slot;
        const int width = stage_width(args, stage);
        wait(&ring.empty[slot], place.parity ^ 1U);
        if (lane == 0) arrive_expecting(&ring.full[slot], rows * width);
        __syncwarp();
        if (lane < rows) {
          copy_weights(stages + slot * args.slot_bytes() + lane * (args.width + kGapBytes),
                       from + stage * args.width, width, shared_address(&ring.full[slot]));
        }
      }
      if (++group < kFoldedGroups) continue;
      group = 0;
      first = place;
    }
  }
}

// By a warpgroup: unit `index` of a run times the tokens. Lane r + 2 t of a warp writes its row r
// of token t.
template <DType kType, int kTokens, typename Tokens>
__device__ void multiply_unit(const FoldedLinear& args, RingBarriers& ring, std::uint32_t stages,
                              const Tokens& tokens, int version, const Run& run, int index,
                              int first_slot, Place& place) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = index * kFoldedRows + static_cast<int>(threadIdx.x) % 128 / 32 * 2 + lane % 2;
  const int token = lane / 2;
  const bool writes = token < args.input.count && row < run.rows;
  float* output = run.output + std::int64_t{token} * run.output_width + row;
  const float before = writes && run.accumulate ? *output : 0.0F;
  const std::uint64_t columns = tokens.descriptor(version);
  const float factor = writes ? tokens.factor(version, token) : 0.0F;
  FoldedSums<kType, kTokens> sums;
  for (int stage = 0; stage < args.stages; ++stage, place.advance(args.slots)) {
    const int slot = first_slot + place.slot;
    wait(&ring.full[slot], place.parity);
    sums.add(folded_descriptor(stages + slot * args.slot_bytes(), args.width + kGapBytes),
             columns + (stage * args.width >> 4), stage_width(args, stage) / kFoldedBytes);
    __syncwarp();
    if (lane == 0) arrive(&ring.empty[slot]);
  }
  float own = 0.0F;
#pragma unroll
  for (int i = 0; i < 2 * kTokens; ++i) {
    const float sum = sums.sum(i % 2, i / 2);
    if (lane == i) own = sum;
  }
  if (writes) *output = before + own * factor;
}

// Makes the tokens ready for a run and the one after it, whose end it returns.
template <DType kType, typename Tokens>
__device__ int make_ready(const FoldedLinear& args, RingBarriers& ring, Tokens& tokens,
                          const Run& run, Span own) {
  Barrier* asked = run.begin == own.begin ? &ring.asked : nullptr;
  if constexpr (kType == DType::kF8E4M3) {
    if (asked == nullptr) sync_threads(1, kFoldedMultiplyThreads);  // products are done
    const bool last = run.end == own.end;
    const Run next = last ? run : run_from<kType>(args, run.end, own.end);
    tokens.fill({run.scales, next.scales}, last ? 1 : 2, asked);
    return next.end;
  } else {
    tokens.fill({nullptr}, 1, asked);
    return own.end;
  }
}

template <DType kType, int kTokens, typename Tokens>
__device__ void multiply(const FoldedLinear& args, RingBarriers& ring, std::uint32_t stages,
                         Tokens& tokens, Span own) {
  const int group = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / 128, 0);
  Place place;
  int turn = 0;
  int ready = own.begin;  // units before this one have had tokens made ready
  int version = 0;
  for (int unit = own.begin; unit < own.end;) {
    const Run run = run_from<kType>(args, unit, own.end);
    if (unit < ready) {
      if constexpr (kType == DType::kF8E4M3) version = 1;
    } else {
      ready = make_ready<kType>(args, ring, tokens, run, own);
      version = 0;
    }
    for (; unit < run.end; ++unit, turn = turn + 1 < kFoldedGroups ? turn + 1 : 0) {
      if (turn != group) continue;
      multiply_unit<kType, kTokens>(args, ring, stages, tokens, version, run, unit - run.begin,
                                    group * args.slots, place);
    }
  }
}

#endif  // M2_SM90_CODE

// Blocks share the units in equal parts, side by side.
template <DType kType, int kTokens, bool kNormed>
__global__ void __launch_bounds__(kThreads, 1)
    folded_linear_kernel(const __grid_constant__ FoldedLinear args) {
#if M2_SM90_CODE
  using Tokens = FoldedTokens<kType, kTokens, kNormed>;
  extern __shared__ uint4 memory[];
  __shared__ RingBarriers ring;
  __shared__ FoldedTokensShared<kTokens> shared;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kFoldedGroups * args.slots; ++i) {
      init_barrier(&ring.full[i], 1);
      init_barrier(&ring.empty[i], 4);  // warps of the group
    }
    init_barrier(&ring.asked, kFoldedWarps);
    fence_barriers();
  }
  __syncthreads();
  release_next_kernel();
  Span own = {static_cast<int>(blockIdx.x) * args.units, 0};
  own.end = min(own.begin + args.units, args.parts.units);
  const std::uint32_t stages = shared_address(memory);
  // Weights are constant: they need not wait for other kernels.
  if (threadIdx.x >= kFoldedMultiplyThreads) return ask<kType>(args, ring, stages, own);
  Tokens tokens(args.input, shared, reinterpret_cast<char*>(memory) + args.ring_bytes(),
                args.row_bytes);
  multiply<kType, kTokens>(args, ring, stages, tokens, own);
#endif
}

// Stages that let every warpgroup have two at least, if it needs them; false where shared memory is
// too small.
bool plan_ring(FoldedLinear& args, int token_bytes, const Context& context) {
  constexpr int kSpare = 1024;  // static shared memory
  for (const int widest : {3072, 1536}) {
    args.width = std::min(args.row_bytes, widest);
    args.stages = (args.row_bytes + args.width - 1) / args.width;
    args.slots = 1;
    const int room = (context.shared_bytes - kSpare - token_bytes) / args.ring_bytes();
    const int useful = (args.units + kFoldedGroups - 1) / kFoldedGroups * args.stages;
    args.slots = std::min({room, useful, kMostSlots});
    args.early = kEarlyBytes / args.slot_bytes();
    if (args.slots >= std::min(2, useful)) return true;
  }
  return false;
}

template <DType kType, int kTokens>
bool launch(FoldedLinear args, Context& context) {
  args.units = (args.parts.units + context.num_sms - 1) / context.num_sms;
  const int token_bytes = kFoldedVersions<kType> * kTokens * kFoldedParts<kType> * args.row_bytes;
  if (!plan_ring(args, token_bytes, context)) return false;
  const int bytes = args.ring_bytes() + token_bytes;
  const auto kernel = args.input.norm_weight == nullptr
                          ? folded_linear_kernel<kType, kTokens, false>
                          : folded_linear_kernel<kType, kTokens, true>;
  allow_shared_memory(kernel, bytes);
  const int blocks = (args.parts.units + args.units - 1) / args.units;
  launch_kernel(context, kernel, static_cast<unsigned>(blocks), kThreads, bytes, args);
  return true;
}

template <DType kType>
bool launch(const FoldedLinear& args, Context& context) {
  const int tokens = args.input.count;
  if (tokens == 1) return launch<kType, 1>(args, context);
  if (tokens == 2) return launch<kType, 2>(args, context);
  if constexpr (most_tokens(kType) > 2) return launch<kType, 4>(args, context);
  return false;
}

bool fits(const WeightView& weight) {
  if (weight.block_format != BlockFormat::kNone || !is_aligned(weight.data)) return false;
  if (weight.cols * static_cast<std::int64_t>(dtype_size(weight.dtype)) % kFoldedBytes != 0) {
    return false;
  }
  return weight.dtype != DType::kF8E4M3 ||
         (weight.block_rows % kFoldedRows == 0 && weight.block_cols == kFoldedScaleColumns &&
          weight.cols % 512 == 0 && is_aligned(weight.scale));
}

bool fits(std::span<const LinearArgs> products, const RmsNormArgs* norm, const Context& context) {
  if (!context.has_wgmma || products.empty() || products.size() > LinearParts::kMost) return false;
  const LinearArgs& first = products.front();
  const TensorView& input = norm == nullptr ? first.input : norm->input;
  if (input.shape[0] > most_tokens(first.weight.dtype) || !is_aligned(input.data)) return false;
  if (norm != nullptr && !is_aligned(norm->weight.data)) return false;
  return std::ranges::all_of(products, [&](const LinearArgs& args) {
    return fits(args.weight) && args.input.data == first.input.data &&
           args.weight.dtype == first.weight.dtype && args.weight.cols == first.weight.cols &&
           args.weight.block_rows == first.weight.block_rows;
  });
}

}  // namespace

bool folded_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                    Context& context) {
  if (!fits(products, norm, context)) return false;
  const LinearArgs& first = products.front();
  const TensorView& input = norm == nullptr ? first.input : norm->input;
  const auto cols = static_cast<int>(first.weight.cols);
  FoldedLinear args = {};
  args.input = {.rows = input.as<float>(),
                .norm_weight = norm == nullptr ? nullptr : norm->weight.as<float>(),
                .eps = norm == nullptr ? 0.0F : norm->eps,
                .count = static_cast<int>(input.shape[0]),
                .cols = cols};
  args.parts = linear_parts(products, kFoldedRows);
  args.row_bytes = cols * static_cast<int>(dtype_size(first.weight.dtype));
  args.block_rows = static_cast<int>(first.weight.block_rows);
  args.scale_cols = static_cast<int>(first.weight.scale_cols());
  bool done = false;
  for_weight_type(first.weight.dtype, [&](auto type) {
    if constexpr (type.value != DType::kF32) done = launch<type.value>(args, context);
  });
  return done;
}

}  // namespace m2::cuda::sm90
