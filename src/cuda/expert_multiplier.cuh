// Products of the experts' kernel (expert_stream.cuh): twelve warps multiply, three add up their
// sums and write the results.
#pragma once

#include "cuda/expert_call.cuh"
#include "cuda/expert_halves.cuh"
#include "cuda/sum_buffers.cuh"

namespace m2::cuda {

/// Between the multiplying and the adding warps, twice: the inner values of the block are written;
/// those of all blocks are.
__device__ inline void meet_in_block() {
  asm volatile("bar.sync 1, %0;" ::"n"(32 * (kStreamWarps + kAddingWarps)) : "memory");
}

/// What the warps that multiply do.
template <typename Gate, typename Down>
class ExpertMultiplier {
 public:
  using Args = ExpertStream<typename Gate::Shape>;
  using Buffers = SumBuffers<Gate::kTokens>;

  __device__ ExpertMultiplier(const Args& args, StageRing& ring, Buffers& buffers)
      : args_(args), ring_(ring), buffers_(buffers) {}

  __device__ void run() {
    gate_up();
    buffers_.leave_end();
    meet_in_block();
    meet_in_block();
    down();
    buffers_.leave_end();
  }

 private:
  __device__ void gate_up() {
    Gate tokens;
    int tile = -1;
    while (true) {
      const StageTail tail(ring_.peek(), args_.slot_bytes);
      const UnitInfo unit = tail.unit();
      if (unit.is_end() || unit.is_down()) return;
      if (unit.tile != tile) {
        tile = unit.tile;
        const auto row_of = [&](int i) {
          return args_.hidden_states + std::int64_t{tail.slot(i) / args_.top_k} * args_.gate.cols;
        };
        tokens.fill(row_of, unit.count, args_.gate);
      }
      const int info = Buffers::remember(tail);
      typename Gate::Sums sums = {};
      tokens.multiply(ring_, args_.gate, args_.slot_bytes, sums);
      buffers_.leave(info, [&](float* to) { Gate::store(sums, to); });
      if (unit.last != 0) return;
    }
  }

  __device__ void down() {
    Down tokens;
    int tile = -1;
    while (true) {
      const StageTail tail(ring_.peek(), args_.slot_bytes);
      const UnitInfo unit = tail.unit();
      if (unit.is_end()) return;
      if (unit.tile != tile) {
        tile = unit.tile;
        const auto row_of = [&](int i) {
          return args_.inner + std::int64_t{tail.slot(i)} * args_.down.cols;
        };
        tokens.fill(row_of, unit.count, args_.down);
      }
      const int info = Buffers::remember(tail);
      typename Down::Sums sums = {};
      tokens.multiply(ring_, args_.down, args_.slot_bytes, sums);
      buffers_.leave(info, [&](float* to) { Down::store(sums, to); });
    }
  }

  const Args& args_;
  StageRing& ring_;
  Buffers& buffers_;
};

/// What the warps do that add up the sums of the others and write the results.
template <typename Gate, typename Down>
class ExpertAdder {
 public:
  using Args = ExpertStream<typename Gate::Shape>;
  using Buffers = SumBuffers<Gate::kTokens>;

  __device__ ExpertAdder(const Args& args, Buffers& buffers) : args_(args), buffers_(buffers) {}

  __device__ void run() {
    const int own = static_cast<int>(threadIdx.x) / 32 - kStreamWarps - 1;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (own == 0 && args_.scores.ranks != nullptr) {
      write_choices(args_.scores, args_.sizes.num_slots / args_.top_k, args_.top_k, args_.topk_ids,
                    args_.topk_weights);
    }
    add_gate_up(own, lane);
    meet_in_block();
    if (own == 0 && lane == 0) meet_blocks(args_.gate_up_counter);
    __syncwarp();
    meet_in_block();
    add_down(own, lane);
    if (own == 0 && lane == 0) leave_counters(args_.gate_up_counter, args_.down_counter);
  }

 private:
  static constexpr int kTileFloats = Buffers::kFloats / 2;

  __device__ void add_gate_up(int own, int lane) {
    buffers_.take(own, [&](const UnitInfo& unit, const auto& slot_of, const float* sums) {
      for (int i = lane; i < unit.count * kTileOfRows; i += 32) {
        const int row = i % kTileOfRows;
        const int token = i / kTileOfRows;
        const int index = Gate::sum_index(row, token);
        const float gate = Buffers::total(sums, index);
        const float up = Buffers::total(sums, kTileFloats + index);
        args_.inner[std::int64_t{slot_of(token)} * args_.gate.rows + unit.row + row] =
            quick_activate(args_.activation, gate) * up;
      }
    });
  }

  __device__ void add_down(int own, int lane) {
    constexpr int kRows = 2 * kTileOfRows;
    buffers_.take(own, [&](const UnitInfo& unit, const auto& slot_of, const float* sums) {
      for (int i = lane; i < unit.count * kRows; i += 32) {
        const int row = i % kRows;
        const int token = i / kRows;
        args_.output[std::int64_t{slot_of(token)} * args_.down.rows + ~unit.row + row] =
            Buffers::total(
                sums, row / kTileOfRows * kTileFloats + Down::sum_index(row % kTileOfRows, token));
      }
    });
  }

  const Args& args_;
  Buffers& buffers_;
};

}  // namespace m2::cuda
