// The experts' second product and the weighted sum for a batch of one token.
#pragma once

#include "cuda/stream_experts.cuh"

namespace m2::cuda {

struct OneTokenDown {
  const float* inner;             // [K, I]
  const ExpertPointers* experts;  // [E]
  const std::int32_t* topk_ids;   // [K]
  const float* topk_weights;      // [K]
  StreamShape shape;              // [H, I]
  float* output;                  // [H]
  int top_k;
  RowPlan plan;
};

template <int kPieces>
struct OneTokenDownSource {
  const OneTokenDown& args;

  // A lane keeps the matrix of the choice with its number.
  __device__ ExpertPointers prepare(int) const {
    const int choice = min(static_cast<int>(threadIdx.x) % 32, args.top_k - 1);
    return args.experts[args.topk_ids[choice]];
  }
  __device__ RowStage stage_of(const ExpertPointers& own, int unit, int stage) const {
    const int choice = stage / kTileStages<kPieces>;
    const auto of_choice = [&](const void* pointer) {
      return __shfl_sync(kAllLanes, reinterpret_cast<unsigned long long>(pointer), choice);
    };
    return row_stage(args.shape, reinterpret_cast<const void*>(of_choice(own.down)),
                     reinterpret_cast<const float*>(of_choice(own.down_scale)), unit * kTileOfRows,
                     kTileOfRows, stage % kTileStages<kPieces>);
  }
};

// A unit is eight rows of all the experts of the token. Their inner rows are the tokens of the mma;
// of its sums those of an expert with its own row count, and meet with the router's weights in
// registers: no pass through memory.
template <DType kType, int kPieces>
__global__ void __launch_bounds__(kRowThreads, 1) one_token_down_kernel(const OneTokenDown args) {
  using Tokens = TokenFragments<kType, kTileTokens, kPieces>;
  extern __shared__ uint4 shared[];
  __shared__ float partial[2][kStreamWarps][kTileOfRows];
  RowRing<kType> ring(shared, args.plan.slots, args.plan.slot_bytes);
  __syncthreads();
  if (is_asker()) {
    const int row_units = (args.shape.rows + kTileOfRows - 1) / kTileOfRows;
    return ring.ask(args.plan.shares, row_units, args.top_k * kTileStages<kPieces>,
                    args.shape.row_bytes, OneTokenDownSource<kPieces>{args});
  }
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int own = lane / 4;  // choice
  const float weight = own < args.top_k ? args.topk_weights[own] : 0.0F;
  begin_kernel();
  Tokens tokens;
  tokens.fill([&](int i) { return args.inner + std::int64_t{i} * args.shape.cols; }, args.top_k,
              args.shape.cols);
  int buffer = 0;
  for (int unit = ring.next_unit(); unit >= 0; unit = ring.next_unit(), buffer ^= 1) {
    float2 sum = {};
    for (int choice = 0; choice < args.top_k; ++choice) {
      float sums[1][Tokens::kSums] = {};
      multiply_tiles(ring, args.shape, tokens, sums);
      if (choice == own) sum = {weight * sums[0][0], weight * sums[0][1]};
    }
    for (int lanes = 4; lanes < 32; lanes *= 2) {
      sum.x += __shfl_xor_sync(kAllLanes, sum.x, lanes);
      sum.y += __shfl_xor_sync(kAllLanes, sum.y, lanes);
    }
    float(&sums_of_warps)[kStreamWarps][kTileOfRows] = partial[buffer];
    if (lane < 4) {
      sums_of_warps[warp][2 * lane] = sum.x;
      sums_of_warps[warp][2 * lane + 1] = sum.y;
    }
    sync_stream_warps();
    const int row = unit * kTileOfRows + static_cast<int>(threadIdx.x);
    if (threadIdx.x >= kTileOfRows || row >= args.shape.rows) continue;
    float total = 0.0F;
    for (int i = 0; i < kStreamWarps; ++i) total += sums_of_warps[i][threadIdx.x];
    args.output[row] += total;
  }
}

/// Down and the weighted sum for a batch of one token; false where it chose more experts than the
/// mma has rows.
template <DType kType>
bool one_token_down(const StreamExperts& call, Context& context) {
  const auto top_k = static_cast<int>(call.args.topk_ids.shape[1]);
  if (top_k > kTileTokens) return false;
  const StreamShape shape = stream_shape(call.args.experts.front().down);
  const RowPlan plan = plan_rows<kType>(shape, kTileOfRows, 0,
                                        {.counter = nullptr, .chunk = 1, .own = 0.0F}, context);
  for_pieces(pieces_of_warp(shape), [&](auto pieces) {
    const auto kernel = one_token_down_kernel<kType, pieces.value>;
    allow_shared_memory(kernel, plan.num_bytes);
    launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), kRowThreads,
                  plan.num_bytes,
                  {.inner = call.inner,
                   .experts = call.table,
                   .topk_ids = call.args.topk_ids.as<std::int32_t>(),
                   .topk_weights = call.args.topk_weights.as<float>(),
                   .shape = shape,
                   .output = call.args.output.as<float>(),
                   .top_k = top_k,
                   .plan = plan});
  });
  return true;
}

}  // namespace m2::cuda
