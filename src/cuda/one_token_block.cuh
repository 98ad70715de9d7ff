// A block of the kernel for the experts of one token (expert_one_token.cuh): what its warps share.
#pragma once

#include "cuda/choose_experts.cuh"
#include "cuda/expert_halves.cuh"
#include "cuda/expert_tables.h"
#include "cuda/one_token_operands.cuh"
#include "cuda/one_token_ring.cuh"

namespace m2::cuda {

/// What a stage of weights holds.
struct alignas(16) ExpertStage {
  int tile;        // of gate and up; -1: nothing
  int parts_done;  // parts of gate and up of which the block has no tile after this one
  int last;        // 1: the last one of gate and up
};

struct OneTokenExperts {
  static constexpr int kMostChoices = 2 * Meetings::kMost;

  const float* hidden_states;     // [H]
  const ExpertPointers* experts;  // [E]
  int num_experts;
  std::int32_t* topk_ids;  // [K]
  float* topk_weights;     // [K]
  RouterScores scores;     // where the experts are still to be chosen, or null
  StreamShape gate;        // [I, H]
  StreamShape down;        // [H, I]
  Activation activation;
  float* inner;   // [K, I]
  float* output;  // [H], to add to
  int top_k;
  int slots;  // of the ring
  UnitCounter* counters;
};

/// Warps multiply up to kGatePieces and kDownPieces pieces of a row of weights; if kExact, just so
/// many. A stage is eight rows of a matrix over up to two pieces of each warp, or of two matrices
/// over one. Tasks of warps have copies: the ring is at different stages in them.
template <DType kType, int kGateWidth, int kDownWidth, bool kOnlySuch>
class OneTokenBlock {
 public:
  using Operands = OneTokenOperands<kType>;
  static constexpr int kWarps = kStreamWarps;  // that multiply
  static constexpr int kFetchWarps = 2;
  static constexpr int kThreads = 32 * (kWarps + 2 + kFetchWarps);
  // What is asked for and not there yet delays all else: claims, meetings, the slowest blocks'
  // weights (H200, with 2, 3 and 4: F8 32.0, 34.7, 35.5 us, BF16 56.7, 54.2, 55.0).
  static constexpr int kMostSlots = kType == DType::kF8E4M3 ? 2 : 3;
  static constexpr int kScalesAt = kTileOfRows * 2 * kStageRowBytes;  // in a slot
  static constexpr int kSlotBytes = kScalesAt + 128;

  static bool fits_exactly(const StreamShape& gate, const StreamShape& down) {
    return gate.row_bytes == kGatePieces * kStageRowBytes &&
           down.row_bytes == kDownPieces * kStageRowBytes;
  }
  /// Of shared memory beside the slots; `blocks` share the rows.
  static int own_bytes(const OneTokenExperts& args, int blocks) {
    return kBarrierBytes + Ring::num_bytes(0, 0) + token_bytes(args) + inner_bytes(args) +
           table_bytes(args) + rows_of_block(args, blocks) * static_cast<int>(sizeof(float));
  }

  __device__ OneTokenBlock(char* shared, const OneTokenExperts& call)
      : args(call),
        barriers(shared_address(shared)),
        ring(shared + kBarrierBytes, args.slots, kSlotBytes),
        token(shared + kBarrierBytes + Ring::num_bytes(args.slots, kSlotBytes)),
        inner(token + token_bytes(args)),
        experts(reinterpret_cast<const void**>(inner + inner_bytes(args))),
        row_sums(reinterpret_cast<float*>(inner + inner_bytes(args) + table_bytes(args))),
        meetings(args.counters) {
    if (threadIdx.x != 0) return;
    init_barrier(table_there(), 1);
    for (int i = 0; i < Meetings::kMost; ++i) {
      init_barrier(arrived(i), 1);
      init_barrier(inner_there(i), kFetchWarps);
    }
    fence_barriers();
  }

  /// By one warp, before the others use it.
  __device__ void ask_for_table() const {
    if (lane() != 0) return;
    arrive_expecting(table_there(), table_bytes(args));
    copy_bulk(shared_address(experts), args.experts, table_bytes(args), table_there());
  }

 protected:
  static constexpr int kBuffers = 4;  // of sums
  using Ring = OneTokenRing<ExpertStage, kWarps, 1, kMostSlots, kBuffers>;
  static constexpr int kGatePieces = kGateWidth;
  static constexpr int kDownPieces = kDownWidth;
  static constexpr bool kExact = kOnlySuch;
  static constexpr int kPointers = sizeof(ExpertPointers) / sizeof(void*);
  static constexpr int kBarrierBytes = 128;

  __host__ __device__ static int inner_bytes(const OneTokenExperts& args) {
    return (args.top_k + 1) / 2 * 2 * Operands::row_bytes(args.down.cols);
  }
  __host__ __device__ static int token_bytes(const OneTokenExperts& args) {
    return Operands::row_bytes(args.gate.cols);
  }
  __host__ __device__ static int table_bytes(const OneTokenExperts& args) {
    return args.num_experts * static_cast<int>(sizeof(ExpertPointers));
  }
  static int rows_of_block(const OneTokenExperts& args, int blocks) {
    return (args.down.rows / kTileOfRows + blocks - 1) / blocks * kTileOfRows;
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  [[nodiscard]] __device__ std::uint32_t table_there() const { return barriers; }
  [[nodiscard]] __device__ std::uint32_t arrived(int pair) const {
    return barriers + 8 + 16 * pair;
  }
  [[nodiscard]] __device__ std::uint32_t inner_there(int pair) const { return arrived(pair) + 8; }
  [[nodiscard]] __device__ int num_pairs() const { return (args.top_k + 1) / 2; }
  [[nodiscard]] __device__ int gate_row_tiles() const { return args.gate.rows / kTileOfRows; }
  [[nodiscard]] __device__ char* inner_row(int choice) const {
    return inner + choice * Operands::row_bytes(args.down.cols);
  }
  // Tiles of down: all blocks read side by side. use(tile, i), the block's i-th one.
  template <typename Use>
  __device__ void for_own_tiles(const Use& use) const {
    const int num_tiles = args.down.rows / kTileOfRows;
    int i = 0;
    for (auto tile = static_cast<int>(blockIdx.x); tile < num_tiles;
         tile += static_cast<int>(gridDim.x)) {
      use(tile, i++);
    }
  }
  [[nodiscard]] __device__ bool has_tiles() const {
    return static_cast<int>(blockIdx.x) < args.down.rows / kTileOfRows;
  }
  template <int kPieces>
  __device__ static int row_bytes(const StreamShape& shape) {
    return kExact ? kPieces * kStageRowBytes : shape.row_bytes;
  }
  /// Whether a stage has rows of two matrices.
  template <int kPieces>
  __device__ static bool is_narrow(const StreamShape& shape) {
    return row_bytes<kPieces>(shape) <= kStageRowBytes;
  }
  /// Of the widest rows.
  template <int kPieces>
  static constexpr int kStages = (kPieces + 1) / 2;

  const OneTokenExperts& args;
  std::uint32_t barriers;
  Ring ring;
  char* token;           // a row of operands
  char* inner;           // rows of operands, one for each choice
  const void** experts;  // [E, kPointers]
  float* row_sums;       // [rows of the block]
  Meetings meetings;
};

}  // namespace m2::cuda
