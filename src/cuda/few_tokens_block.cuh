// A block of the kernel for the experts of few tokens (few_tokens_experts.cuh): what its warps
// share.
#pragma once

#include "cuda/choose_experts.cuh"
#include "cuda/expert_halves.cuh"
#include "cuda/expert_tables.h"
#include "cuda/few_tokens_operands.cuh"
#include "cuda/marked_values.cuh"
#include "cuda/one_token_ring.cuh"
#include "cuda/slot_groups.cuh"

namespace m2::cuda {

/// What a stage of weights holds.
struct alignas(16) ExpertStage {
  int tile;        // of gate and up; -1: nothing
  int parts_done;  // parts of gate and up of which the block has no tile after this one
  int last;        // 1: the last one of gate and up
};

struct FewTokensExperts {
  const float* hidden_states;     // [T, H]
  const ExpertPointers* experts;  // [E]
  int num_experts;
  std::int32_t* topk_ids;  // [T, K]
  float* topk_weights;     // [T, K]
  RouterScores scores;     // where the experts are still to be chosen, or null
  StreamShape gate;        // [I, H]
  StreamShape down;        // [H, I]
  Activation activation;
  float* inner;   // [T * K, I]
  float* output;  // [T, H], to add to
  int num_tokens;
  int top_k;
  int ring_slots;
  MarkRound* round;  // of inner
};

/// Warps multiply up to kGatePieces and kDownPieces pieces of a row of weights; if kExact, just so
/// many. A stage is eight rows of a matrix over up to two pieces of each warp, or of two matrices
/// over one. Tasks of warps have copies: the ring is at different stages in them.
template <DType kType, int kGateWidth, int kDownWidth, bool kOnlySuch>
class FewTokensBlock {
 public:
  using Operands = FewTokensOperands<kType>;
  static constexpr int kWarps = kStreamWarps;  // that multiply
  static constexpr int kFetchWarps = 2;
  static constexpr int kThreads = 32 * (kWarps + 2 + kFetchWarps);
  // What is asked for and not there yet delays all small reads (H200, F8 of one, two and four
  // tokens with 2 and 3: 29.5 and 29.2, 54.4 and 52.9, 103.1 and 99.9 us).
  static constexpr int kMostSlots = 3;
  static constexpr int kScalesAt = kTileOfRows * 2 * kStageRowBytes;  // in a slot
  static constexpr int kSlotBytes = kScalesAt + 128;

  static bool fits_exactly(const StreamShape& gate, const StreamShape& down) {
    return gate.row_bytes == kGatePieces * kStageRowBytes &&
           down.row_bytes == kDownPieces * kStageRowBytes;
  }
  /// Of shared memory beside the slots; `blocks` share the rows.
  static int own_bytes(const FewTokensExperts& args, int blocks) {
    return kBarrierBytes + Ring::num_bytes(0, 0) + token_bytes(args) + inner_bytes(args) +
           table_bytes(args) + SlotGroups::kBytes +
           args.num_tokens * rows_of_block(args, blocks) * static_cast<int>(sizeof(float));
  }

  __device__ FewTokensBlock(char* shared, const FewTokensExperts& call)
      : args(call),
        barriers(shared_address(shared)),
        ring(shared + kBarrierBytes, args.ring_slots, kSlotBytes),
        tokens(shared + kBarrierBytes + Ring::num_bytes(args.ring_slots, kSlotBytes)),
        inner(tokens + token_bytes(args)),
        experts(reinterpret_cast<const void**>(inner + inner_bytes(args))),
        groups(inner + inner_bytes(args) + table_bytes(args), args.num_tokens, args.top_k),
        row_sums(reinterpret_cast<float*>(inner + inner_bytes(args) + table_bytes(args) +
                                          SlotGroups::kBytes)) {
    if (threadIdx.x != 0) return;
    init_barrier(table_there(), 1);
    for (int i = 0; i < kMostPairs; ++i) {
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
  static_assert(Operands::kMostTokens <= SlotGroups::kMostTokens);
  static constexpr int kMatrixSums = Operands::kMostTokens * kTileOfRows;
  using Ring = OneTokenRing<ExpertStage, kWarps, 1, kMostSlots, kBuffers, 2 * kMatrixSums>;
  static constexpr int kGatePieces = kGateWidth;
  static constexpr int kDownPieces = kDownWidth;
  static constexpr bool kExact = kOnlySuch;
  static constexpr int kPointers = sizeof(ExpertPointers) / sizeof(void*);
  static constexpr int kMostPairs = SlotGroups::kMostSlots / 2;
  static constexpr int kBarrierBytes = 384;

  __host__ __device__ static int inner_bytes(const FewTokensExperts& args) {
    return args.num_tokens * args.top_k * Operands::row_bytes(args.down.cols);
  }
  __host__ __device__ static int token_bytes(const FewTokensExperts& args) {
    return args.num_tokens * Operands::row_bytes(args.gate.cols);
  }
  __host__ __device__ static int table_bytes(const FewTokensExperts& args) {
    return args.num_experts * static_cast<int>(sizeof(ExpertPointers));
  }
  static int rows_of_block(const FewTokensExperts& args, int blocks) {
    return (args.down.rows / kTileOfRows + blocks - 1) / blocks * kTileOfRows;
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  [[nodiscard]] __device__ std::uint32_t table_there() const { return barriers; }
  [[nodiscard]] __device__ std::uint32_t arrived(int pair) const {
    return barriers + 8 + 16 * pair;
  }
  [[nodiscard]] __device__ std::uint32_t inner_there(int pair) const { return arrived(pair) + 8; }
  /// By a warp: a lane j < K gets choice j of the token. use_first(id) as choose_expert().
  template <typename UseFirst>
  [[nodiscard]] __device__ std::int32_t choice_of(int token, const UseFirst& use_first) const {
    if (args.scores.ranks != nullptr) {
      return choose_expert(args.scores, token, args.top_k, use_first);
    }
    const std::int32_t id =
        __ldcg(args.topk_ids + token * args.top_k + min(lane(), args.top_k - 1));
    use_first(__shfl_sync(kAllLanes, id, 0));
    return id;
  }
  /// For the tokens but the first one, whose experts the asking warp finds.
  __device__ void find_experts(int token) const {
    if (token < args.num_tokens) groups.put(token, choice_of(token, [](std::int32_t) {}));
  }
  /// Of experts, once they are grouped.
  [[nodiscard]] __device__ int num_pairs() const { return (groups.count() + 1) / 2; }
  [[nodiscard]] __device__ int gate_row_tiles() const { return args.gate.rows / kTileOfRows; }
  [[nodiscard]] __device__ char* token_row(int token) const {
    return tokens + token * Operands::row_bytes(args.gate.cols);
  }
  [[nodiscard]] __device__ char* inner_row(int slot) const {
    return inner + slot * Operands::row_bytes(args.down.cols);
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

  const FewTokensExperts& args;
  std::uint32_t barriers;
  Ring ring;
  char* tokens;          // rows of operands, of tokens
  char* inner;           // likewise, of slots
  const void** experts;  // [E, kPointers]
  SlotGroups groups;
  float* row_sums;  // [tiles of the block, T, kTileOfRows]
};

}  // namespace m2::cuda
