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
template <typename Gate, typename Down, bool kOneToken>
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
    if constexpr (kOneToken) {
      one_token_down();
    } else {
      down();
    }
    buffers_.leave_end();
  }

 private:
  __device__ void gate_up() {
    Gate tokens;
    if constexpr (kOneToken) tokens.fill_one(args_.hidden_states, args_.gate);
    int tile = -1;
    while (true) {
      const StageTail tail(ring_.peek(), args_.slot_bytes);
      const UnitInfo unit = tail.unit();
      if (unit.is_end() || unit.is_down()) return;
      if (!kOneToken && unit.tile != tile) {
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

  // The inner rows of all the token's experts are the tokens of the mma; of its sums those of an
  // expert with its own row count, and meet with the router's weights in registers.
  __device__ void one_token_down() {
    float weights[2];
#pragma unroll
    for (int t = 0; t < 2; ++t) {
      const int choice = Down::own_choice(t);
      weights[t] = choice < args_.top_k ? __ldcg(args_.topk_weights + choice) : 0.0F;
    }
    Down tokens;
    tokens.fill([&](int i) { return args_.inner + std::int64_t{i} * args_.down.cols; }, args_.top_k,
                args_.down);
    while (true) {
      const StageTail tail(ring_.peek(), args_.slot_bytes);
      if (tail.unit().is_end()) return;
      const int info = Buffers::remember(tail);
      float2 own = {};
      for (int pair = 0; 2 * pair < args_.top_k; ++pair) {
        typename Down::Sums sums = {};
        static_cast<void>(ring_.peek());
        tokens.multiply(ring_, args_.down, args_.slot_bytes, sums);
        Down::keep_own(pair, sums, weights, own);
      }
      buffers_.leave(info, [&](float* to) { Down::store_own(own, to); });
    }
  }

  const Args& args_;
  StageRing& ring_;
  Buffers& buffers_;
};

/// What the warps do that add up the sums of the others and write the results.
template <typename Gate, typename Down, bool kOneToken>
class ExpertAdder {
 public:
  using Args = ExpertStream<typename Gate::Shape>;
  using Buffers = SumBuffers<Gate::kTokens>;

  __device__ ExpertAdder(const Args& args, Buffers& buffers) : args_(args), buffers_(buffers) {}

  __device__ void run() {
    const int own = static_cast<int>(threadIdx.x) / 32 - kStreamWarps - 1;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (kOneToken) {
      const bool is_first = blockIdx.x == 0 && own == 0;
      if (is_first && args_.scores.ranks != nullptr) write_choice(lane);
    }
    add_gate_up(own, lane);
    meet_in_block();
    if (own == 0 && lane == 0) meet_blocks(args_.gate_up_counter);
    __syncwarp();
    meet_in_block();
    if constexpr (kOneToken) {
      add_one_token_down(own, lane);
    } else {
      add_down(own, lane);
    }
    if (own == 0 && lane == 0) leave_counters(args_.gate_up_counter, args_.down_counter);
  }

 private:
  static constexpr int kTileFloats = Buffers::kFloats / 2;

  // Seen by all when the blocks have met.
  __device__ void write_choice(int lane) {
    const std::int32_t id = choose_expert(args_.scores, 0, args_.top_k);
    const float weight = weight_of_choice(args_.scores, 0, id, args_.top_k);
    if (lane >= args_.top_k) return;
    args_.groups.topk_ids[lane] = id;
    args_.topk_weights[lane] = weight;
  }

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

  __device__ void add_one_token_down(int own, int lane) {
    buffers_.take(own, [&](const UnitInfo& unit, const auto&, const float* sums) {
      if (lane >= kTileOfRows) return;
      // The only one to add here; nobody waits for the sum.
      atomicAdd(args_.output + ~unit.row + lane, Buffers::total(sums, lane));
    });
  }

  const Args& args_;
  Buffers& buffers_;
};

}  // namespace m2::cuda
