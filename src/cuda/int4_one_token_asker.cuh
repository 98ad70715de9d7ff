// Asks for the weights of one token's experts (int4_one_token.cuh), by one warp of a block.
#pragma once

#include "cuda/choose_experts.cuh"
#include "cuda/int4_call.cuh"
#include "cuda/int4_one_token_stages.cuh"
#include "cuda/int4_tile_claims.cuh"
#include "cuda/weight_ring.cuh"

namespace m2::cuda {

/// By one warp: a lane j < K gets choice j of the token.
[[nodiscard]] __device__ inline std::int32_t own_choice(const Int4Experts& args) {
  if (args.scores.ranks != nullptr) return choose_expert(args.scores, 0, args.top_k);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  return args.topk_ids[min(lane, args.top_k - 1)];
}

template <int kGroup, typename Ring>
class OneTokenAsker {
 public:
  static constexpr int kTeams = Ring::kTeams;

  /// `down`: the block's rows, in eights.
  __device__ OneTokenAsker(const Int4Experts& args, Ring& ring, const ChoiceBarriers& choices,
                           const Span& down)
      : args_(args), ring_(ring), choices_(choices), down_(down) {}

  /// experts [E]: in shared memory. To choose once before the wait, as few_tokens_asker.cuh does,
  /// costs 0.7 us behind a kernel that leaves no room beside it (H200).
  __device__ void run(const ExpertMatrices* experts) {
    own_ = experts[own_choice(args_)];
    ask_gate_up();
    ask_down();
    for (int choice = 0; choice < args_.top_k; ++choice) choices_.await_ready(choice);
    if (lane() == 0) args_.round->leave();
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  [[nodiscard]] __device__ int gate_row_tiles() const { return args_.gate.rows / kUnitRows; }

  // Of the block's rows, expert by expert.
  __device__ void ask_down() {
    int begin = down_.begin;
    do {
      const int tiles = min(args_.plan.down_tiles, down_.end - begin);
      const int first_team = stages_ % kTeams;
      for (int choice = 0; choice < args_.top_k && tiles > 0; ++choice) {
        ask_rows(begin, tiles, choice);
      }
      begin += tiles;
      for (int team = 0; team < kTeams; ++team) {
        ring_.push_none({StageKind::kRowsEnd, first_team, 0, begin == down_.end ? 1 : 0});
      }
    } while (begin < down_.end);
  }

  __device__ void ask_gate_up() {
    const int num_tiles = args_.top_k * gate_row_tiles();
    for_claimed_tiles(
        args_, num_tiles,
        [&](int tile) {
          if (tile >= num_tiles) push({StageKind::kGateUp, -1, args_.top_k, 1}, 0, nullptr, 0);
        },
        [&](int tile, int next, bool last) {
          ask_tile(tile, last ? args_.top_k : next / gate_row_tiles(), last);
        });
  }

  __device__ void ask_tile(int tile, int done, bool last) {
    const UnitPosition position(tile, gate_row_tiles());
    const int bytes = args_.gate.template eight_rows<kGroup>();
    const char* gate = from_lane(own_.gate, position.outer);
    const char* up = from_lane(own_.up, position.outer);
    push({StageKind::kGateUp, tile, done, last ? 1 : 0}, 2,
         (lane() == 0 ? gate : up) + std::int64_t{position.inner} * bytes, bytes);
  }
  __device__ void ask_rows(int begin, int tiles, int choice) {
    const int bytes = args_.down.template eight_rows<kGroup>();
    push({StageKind::kDown, choice, 0, 0}, 1,
         from_lane(own_.down, choice) + std::int64_t{begin} * bytes, tiles * bytes);
  }
  // Lane i < `copies` has the source of the i-th `bytes`.
  __device__ void push(const OneTokenStage& stage, int copies, const char* source, int bytes) {
    ++stages_;
    ring_.push(stage, copies * bytes, args_.plan.in_flight,
               [&](std::uint32_t slot, std::uint32_t barrier) {
                 if (lane() < copies) copy_weights(slot + lane() * bytes, source, bytes, barrier);
               });
  }
  __device__ static const char* from_lane(const char* pointer, int source) {
    return reinterpret_cast<const char*>(
        __shfl_sync(kAllLanes, reinterpret_cast<unsigned long long>(pointer), source));
  }

  const Int4Experts& args_;
  Ring& ring_;
  const ChoiceBarriers& choices_;
  const Span& down_;
  ExpertMatrices own_ = {};  // of the choice with the lane's number
  int stages_ = 0;           // with weights, and those that stand for one
};

}  // namespace m2::cuda
