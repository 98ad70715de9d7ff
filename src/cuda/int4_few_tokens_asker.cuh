// Asks for the weights of few tokens' experts (int4_few_tokens.cuh), by one warp of a block.
#pragma once

#include "cuda/int4_call.cuh"
#include "cuda/int4_few_tokens_groups.cuh"
#include "cuda/int4_few_tokens_stages.cuh"
#include "cuda/int4_tile_claims.cuh"
#include "cuda/weight_ring.cuh"

namespace m2::cuda {

/// Down of a group is asked for so many groups behind gate and up.
constexpr int kLag = 8;

template <int kGroup, typename Ring>
class Int4FewTokensAsker {
 public:
  /// `down`: the block's rows, in eights; experts [E] in shared memory.
  __device__ Int4FewTokensAsker(const Int4Experts& args, Ring& ring,
                                const Int4FewTokensGroups& groups, const ExpertMatrices* experts,
                                const Span& down)
      : args_(args), ring_(ring), groups_(groups), experts_(experts), down_(down) {}

  __device__ void run() {
    const int num_tiles = groups_.num_tiles() * gate_row_tiles();
    for_claimed_tiles(
        args_, num_tiles,
        [&](int tile) {
          skip_to(tile < num_tiles ? tile / gate_row_tiles() : groups_.num_tiles());
        },
        [&](int tile, int next, bool last) {
          const UnitPosition position(tile, gate_row_tiles());
          ask_down(position.outer + 1 - kLag);
          ask_tile(position, last ? groups_.num_tiles() : next / gate_row_tiles());
        });
    ask_down(groups_.num_tiles());
    for (int team = 0; team < Ring::kTeams; ++team) ring_.push_none({StageKind::kEnd, 0, 0, 0});
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  [[nodiscard]] __device__ int gate_row_tiles() const { return args_.gate.rows / kUnitRows; }

  // The block has no tiles of groups before this one.
  __device__ void skip_to(int group) {
    if (group > 0) ring_.push_none({StageKind::kGateUp, 0, -1, group});
  }
  __device__ void ask_tile(const UnitPosition& position, int done) {
    const ExpertMatrices& expert = experts_[groups_.tile(position.outer).expert];
    const int bytes = args_.gate.template eight_rows<kGroup>();
    push({StageKind::kGateUp, position.outer, position.inner, done}, 2,
         (lane() == 0 ? expert.gate : expert.up) + std::int64_t{position.inner} * bytes, bytes);
  }
  // Of the block's rows, up to group `end`.
  __device__ void ask_down(int end) {
    const int bytes = args_.down.template eight_rows<kGroup>();
    for (; asked_ < end; ++asked_) {
      const char* from = experts_[groups_.tile(asked_).expert].down;
      for (int first = down_.begin; first < down_.end; first += args_.plan.down_tiles) {
        const int tiles = min(args_.plan.down_tiles, down_.end - first);
        push({StageKind::kDown, asked_, first - down_.begin, 0}, 1,
             from + std::int64_t{first} * bytes, tiles * bytes);
      }
    }
  }
  // Lane i < `copies` has the source of the i-th `bytes`.
  __device__ void push(const Int4FewTokensStage& stage, int copies, const char* source, int bytes) {
    ring_.push(stage, copies * bytes, args_.plan.in_flight,
               [&](std::uint32_t slot, std::uint32_t barrier) {
                 if (lane() < copies) copy_weights(slot + lane() * bytes, source, bytes, barrier);
               });
  }

  const Int4Experts& args_;
  Ring& ring_;
  const Int4FewTokensGroups& groups_;
  const ExpertMatrices* experts_;
  const Span& down_;
  int asked_ = 0;  // groups whose down has been asked for
};

}  // namespace m2::cuda
