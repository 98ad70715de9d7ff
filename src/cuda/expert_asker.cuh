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
template <typename Gate, typename Down>
class ExpertAsker {
 public:
  using Args = ExpertStream<typename Gate::Shape>;

  __device__ ExpertAsker(const Args& args, const BlockGroups& groups, StageRing& ring)
      : args_(args), groups_(groups), ring_(ring) {}

  __device__ void run() {
    ask_gate_up();
    ask_down();
    ring_.push(mark({.tile = -1, .count = 0, .row = 0, .last = 1}, 0));
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  __device__ PreparedTile prepare(int tile) const {
    const ExpertTile found = groups_.tile(tile);
    return {args_.experts[found.expert], tile, found.count,
            groups_.slot(found.first + min(lane(), found.count - 1))};
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
        args_.shares(args_.gate_up_counter), groups_.num_tiles() * row_units,
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
        args_.shares(args_.down_counter), groups_.num_tiles() * row_units,
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

  const Args& args_;
  const BlockGroups& groups_;
  StageRing& ring_;
};

}  // namespace m2::cuda
