#include "cuda/one_token_experts.h"

#include <algorithm>

#include "cuda/dispatch.h"
#include "cuda/launch.cuh"
#include "cuda/one_token_stream.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

constexpr int kMaxOneTokenExperts = 64;  // chosen by the token

struct OneTokenGateUp {
  const float* hidden_states;     // [H]
  const ExpertPointers* experts;  // [E]
  const std::int32_t* topk_ids;   // [K]
  StreamShape shape;              // [I, H]
  Activation activation;
  float* inner;  // [K, I]
};

// inner = act(gate x) * up x. Grid: x tiles of rows, y the experts of the token.
template <DType kType>
__global__ void __launch_bounds__(kStreamThreads, 2) one_token_gate_up_kernel(OneTokenGateUp args) {
  extern __shared__ uint4 shared[];
  __shared__ OneTokenSums<2> partial;
  begin_kernel();
  const ExpertPointers& expert = args.experts[args.topk_ids[blockIdx.y]];
  const int first_row = static_cast<int>(blockIdx.x) * kTileRows;
  const RowTile tiles[2] = {{expert.gate, expert.gate_scale, first_row},
                            {expert.up, expert.up_scale, first_row}};
  const WarpChunks chunks(args.shape);
  const int warp_bytes = one_token_bytes(most_warp_chunks(args.shape.chunks));
  auto* memory = reinterpret_cast<char*>(shared) + threadIdx.x / 32 * warp_bytes;
  OneTokenStream<kType, 2> stream(args.shape, tiles, chunks.begin, chunks.end, memory);
  stream.start();
  float sums[2][2];
  stream.multiply(args.hidden_states, sums);
  partial.store(sums);
  __syncthreads();
  const int row = first_row + static_cast<int>(threadIdx.x);
  if (threadIdx.x >= kTileRows || row >= args.shape.rows) return;
  const float gate = partial.sum(static_cast<int>(threadIdx.x));
  const float up = partial.sum(kTileRows + static_cast<int>(threadIdx.x));
  args.inner[std::int64_t{blockIdx.y} * args.shape.rows + row] =
      device_activate(args.activation, gate) * up;
}

struct OneTokenDown {
  const float* inner;             // [K, I]
  const ExpertPointers* experts;  // [E]
  const std::int32_t* topk_ids;   // [K]
  const float* topk_weights;      // [K]
  StreamShape shape;              // [H, I]
  float* output;                  // [H]
  int top_k;
};

// A block takes a tile of rows of all the experts, a warp one expert after the other, and their
// sums meet with the router's weights: no pass through memory between.
template <DType kType>
__global__ void __launch_bounds__(kStreamThreads, 2) one_token_down_kernel(OneTokenDown args) {
  extern __shared__ uint4 shared[];
  __shared__ float partial[kMaxOneTokenExperts][kTileRows];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first_row = static_cast<int>(blockIdx.x) * kTileRows;
  auto* memory = reinterpret_cast<char*>(shared) + warp * one_token_bytes(args.shape.chunks);
  if (warp >= args.top_k) begin_kernel();
  for (int j = warp; j < args.top_k; j += kStreamWarps) {
    // Written two kernels ago, before gate_up began: weights may be asked for at once.
    const ExpertPointers& expert = args.experts[__ldcg(args.topk_ids + j)];
    const RowTile tiles[1] = {{expert.down, expert.down_scale, first_row}};
    OneTokenStream<kType, 1> stream(args.shape, tiles, 0, args.shape.chunks, memory);
    stream.start();
    if (j == warp) begin_kernel();
    __syncwarp();  // the activations of the expert before are used up
    float sums[1][2];
    stream.multiply(args.inner + std::int64_t{j} * args.shape.cols, sums);
    if (lane % 4 != 0) continue;
    partial[j][lane / 4] = sums[0][0];
    partial[j][lane / 4 + 8] = sums[0][1];
  }
  __syncthreads();
  const int row = first_row + static_cast<int>(threadIdx.x);
  if (threadIdx.x >= kTileRows || row >= args.shape.rows) return;
  float sum = 0.0F;
  for (int j = 0; j < args.top_k; ++j) sum += args.topk_weights[j] * partial[j][threadIdx.x];
  args.output[row] += sum;
}

unsigned row_tiles(const StreamShape& shape) {
  return static_cast<unsigned>((shape.rows + kTileRows - 1) / kTileRows);
}

template <DType kType>
void launch(const MoeExpertsArgs& args, const ExpertPointers* experts, float* inner,
            Context& context) {
  const auto top_k = static_cast<unsigned>(args.topk_ids.shape[1]);
  const StreamShape gate = stream_shape(args.experts.front().gate);
  const int gate_bytes = kStreamWarps * one_token_bytes(most_warp_chunks(gate.chunks));
  allow_shared_memory(one_token_gate_up_kernel<kType>, gate_bytes);
  launch_kernel(context, one_token_gate_up_kernel<kType>, dim3(row_tiles(gate), top_k),
                kStreamThreads, gate_bytes,
                {.hidden_states = args.hidden_states.as<float>(),
                 .experts = experts,
                 .topk_ids = args.topk_ids.as<std::int32_t>(),
                 .shape = gate,
                 .activation = args.activation,
                 .inner = inner});
  const StreamShape down = stream_shape(args.experts.front().down);
  const int down_bytes = kStreamWarps * one_token_bytes(down.chunks);
  allow_shared_memory(one_token_down_kernel<kType>, down_bytes);
  launch_kernel(context, one_token_down_kernel<kType>, row_tiles(down), kStreamThreads, down_bytes,
                {.inner = inner,
                 .experts = experts,
                 .topk_ids = args.topk_ids.as<std::int32_t>(),
                 .topk_weights = args.topk_weights.as<float>(),
                 .shape = down,
                 .output = args.output.as<float>(),
                 .top_k = static_cast<int>(top_k)});
}

}  // namespace

bool one_token_experts_fit(const MoeExpertsArgs& args, const Context& context) {
  const auto inner_chunks = static_cast<int>(args.experts.front().down.cols / kChunk);
  const auto hidden_chunks = static_cast<int>(args.experts.front().gate.cols / kChunk);
  const int warp_bytes = one_token_bytes(std::max(inner_chunks, most_warp_chunks(hidden_chunks)));
  return args.topk_ids.shape[1] <= kMaxOneTokenExperts &&
         kStreamWarps * warp_bytes <= context.shared_bytes - 8192;
}

void one_token_experts(const MoeExpertsArgs& args, const ExpertPointers* experts, float* inner,
                       Context& context) {
  for_weight_type(args.experts.front().gate.dtype, [&](auto tag) {
    if constexpr (tag.value != DType::kF32) launch<tag.value>(args, experts, inner, context);
  });
}

}  // namespace m2::cuda
