// Asks for the weights of the experts' kernel (expert_stream.cuh), by one warp of a block.
#pragma once

#include "cuda/expert_call.cuh"

namespace m2::cuda {

// A tile of slots and its expert, looked up ahead of its turn.
struct PreparedTile {
  ExpertPointers expert;
  int tile;
  int count;
  int slot;  // of the token with the lane's number
};

/// What the asking warp does.
template <typename Gate, typename Down, bool kOneToken>
class ExpertAsker {
 public:
  using Args = ExpertStream<typename Gate::Shape>;

  __device__ ExpertAsker(const Args& args, StageRing& ring) : args_(args), ring_(ring) {
    // The token's experts, each in a lane.
    if constexpr (kOneToken) own_ = args.experts[own_choice()];
  }

  __device__ void run() {
    ask_gate_up();
    if constexpr (kOneToken) {
      ask_one_token_down();
    } else {
      ask_down();
    }
    ring_.push(mark({.tile = -1, .count = 0, .row = 0, .last = 1}, 0));
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  [[nodiscard]] __device__ std::int32_t own_choice() const {
    const int choice = min(lane(), args_.top_k - 1);
    if (args_.scores.ranks == nullptr) return args_.groups.topk_ids[choice];
    return __shfl_sync(kAllLanes, choose_expert(args_.scores, 0, args_.top_k), choice);
  }

  template <typename T>
  __device__ static const T* from_lane(const T* pointer, int source) {
    return reinterpret_cast<const T*>(
        __shfl_sync(kAllLanes, reinterpret_cast<unsigned long long>(pointer), source));
  }

  __device__ PreparedTile prepare(int tile) const {
    if constexpr (kOneToken) {
      return {{.gate = from_lane(own_.gate, tile),
               .up = from_lane(own_.up, tile),
               .down = nullptr,
               .gate_scale = from_lane(own_.gate_scale, tile),
               .up_scale = from_lane(own_.up_scale, tile),
               .down_scale = nullptr},
              tile,
              1,
              tile};
    } else {
      const ExpertTile found = args_.groups.tile(tile);
      return {args_.experts[found.expert], tile, found.count,
              args_.groups.slot(found.first + min(lane(), found.count - 1))};
    }
  }
  __device__ void follow(PreparedTile& prepared, int tile) const {
    if (prepared.tile != tile) prepared = prepare(tile);
  }

  [[nodiscard]] __device__ auto mark(const UnitInfo& unit, int slot_of_lane) const {
    return [this, unit, slot_of_lane](std::uint32_t slot) {
      StageTail(slot, args_.slot_bytes).set(unit, slot_of_lane);
    };
  }

  __device__ void ask_gate_up() {
    const int row_units = args_.gate_up_row_units();
    StageRing::ask(
        args_.template shares<kOneToken>(args_.gate_up_counter), args_.gate_up_units(),
        [&](int unit) { return prepare(unit / row_units); },
        [&](PreparedTile& prepared, int unit, bool last) {
          const UnitPosition position(unit, row_units);
          follow(prepared, position.outer);
          const int row = position.inner * kTileOfRows;
          const ExpertPointers& expert = prepared.expert;
          const TilePair pair = {
              {Gate::tile(args_.gate, expert.gate, row), Gate::tile(args_.gate, expert.up, row)},
              {Gate::scale(args_.gate, expert.gate_scale, row),
               Gate::scale(args_.gate, expert.up_scale, row)}};
          Gate::push(ring_, args_.gate, pair, args_.slot_bytes,
                     mark({prepared.tile, prepared.count, row, last ? 1 : 0}, prepared.slot));
        });
  }

  __device__ void ask_down() {
    const int row_units = args_.down_row_units();
    StageRing::ask(
        args_.template shares<false>(args_.down_counter), args_.template down_units<false>(),
        [&](int unit) { return prepare(unit / row_units); },
        [&](PreparedTile& prepared, int unit, bool last) {
          const UnitPosition position(unit, row_units);
          follow(prepared, position.outer);
          const int row = position.inner * 2 * kTileOfRows;
          const ExpertPointers& expert = prepared.expert;
          const TilePair pair = {{Down::tile(args_.down, expert.down, row),
                                  Down::tile(args_.down, expert.down, row + kTileOfRows)},
                                 {Down::scale(args_.down, expert.down_scale, row),
                                  Down::scale(args_.down, expert.down_scale, row + kTileOfRows)}};
          Down::push(ring_, args_.down, pair, args_.slot_bytes,
                     mark({prepared.tile, prepared.count, ~row, last ? 1 : 0}, prepared.slot));
        });
  }

  __device__ void ask_one_token_down() {
    StageRing::ask(
        args_.template shares<true>(args_.down_counter), args_.template down_units<true>(),
        [](int) { return 0; },
        [&](int, int unit, bool last) {
          const int row = unit * kTileOfRows;
          for (int choice = 0; choice < args_.top_k; choice += 2) {
            TilePair pair;
#pragma unroll
            for (int t = 0; t < 2; ++t) {
              const int of = min(choice + t, args_.top_k - 1);
              pair.tiles[t] = Down::tile(args_.down, from_lane(own_.down, of), row);
              pair.scales[t] = Down::scale(args_.down, from_lane(own_.down_scale, of), row);
            }
            Down::push(ring_, args_.down, pair, args_.slot_bytes,
                       mark({0, 1, ~row, last ? 1 : 0}, 0));
          }
        });
  }

  const Args& args_;
  StageRing& ring_;
  ExpertPointers own_{};
};

}  // namespace m2::cuda
