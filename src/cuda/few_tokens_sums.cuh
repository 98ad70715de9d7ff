// Sums of few tokens' experts (few_tokens_experts.cuh), and the inner values on their way from gate
// and up to down.
#pragma once

#include "cuda/few_tokens_block.cuh"

namespace m2::cuda {

/// What the warp does that adds up the sums of those that multiply.
template <typename Block>
class FewTokensAdder : Block {
 public:
  __device__ explicit FewTokensAdder(const Block& block) : Block(block) {}

  __device__ void run() {
    find_experts(1);
    for_own_tiles([&](int tile, int i) {
      if (is_used()) row_sum(i) = *output(tile);
    });
    groups.await();
    add_gate_up();
    for (int pair = 0; pair < num_pairs(); ++pair) {
      const bool is_last = pair + 1 == num_pairs();
      for_own_tiles([&](int tile, int i) { add_down(tile, i, is_last); });
    }
    __syncwarp();
    if (lane() == 0) args.round->leave();
  }

 private:
  using Block::args;
  using Block::arrived;
  using Block::find_experts;
  using Block::for_own_tiles;
  using Block::gate_row_tiles;
  using Block::groups;
  using Block::kMatrixSums;
  using Block::lane;
  using Block::num_pairs;
  using Block::ring;
  using Block::row_sums;

  // A lane has a row of a token.
  __device__ static int token() { return lane() / kTileOfRows; }
  __device__ static int row() { return lane() % kTileOfRows; }
  [[nodiscard]] __device__ bool is_used() const { return token() < args.num_tokens; }
  [[nodiscard]] __device__ float& row_sum(int i) const {
    return row_sums[i * args.num_tokens * kTileOfRows + lane()];
  }
  [[nodiscard]] __device__ float* output(int tile) const {
    return args.output + std::int64_t{token()} * args.down.rows + tile * kTileOfRows + row();
  }

  __device__ void add_gate_up() {
    const std::uint32_t mark = args.round->mark();
    int pairs_done = 0;
    bool last = false;
    while (!last) {
      ring.take([&](const ExpertStage& unit, const float* sums) {
        last = unit.last != 0;
        if (unit.tile >= 0 && is_used()) {
          const UnitPosition position(unit.tile, gate_row_tiles());
          const int slot = groups.slot(position.outer, token());
          const float gate = Block::Ring::total(sums, lane());
          const float up = Block::Ring::total(sums, kMatrixSums + lane());
          if (slot >= 0) {
            store_marked(args.inner + std::int64_t{slot} * args.gate.rows +
                             position.inner * kTileOfRows + row(),
                         quick_activate(args.activation, gate) * up, mark);
          }
        }
        for (; pairs_done < unit.parts_done; ++pairs_done) {
          if (lane() == 0) arrive(arrived(pairs_done));
        }
      });
    }
  }

  __device__ void add_down(int tile, int i, bool is_last) {
    ring.take([&](const ExpertStage&, const float* sums) {
      if (!is_used()) return;
      const float sum = row_sum(i) + Block::Ring::total(sums, lane());
      row_sum(i) = sum;
      if (is_last) *output(tile) = sum;
    });
  }
};

/// What the warps do that bring inner values, one of each pair.
template <typename Block>
class FewTokensFetcher : Block {
 public:
  __device__ explicit FewTokensFetcher(const Block& block) : Block(block) {}

  __device__ void run(int own) {
    find_experts(2 + own);
    if (own == 0) groups.group();
    groups.await();
    find_weights(own);
    if (!has_tiles()) return;
    const std::uint32_t mark = args.round->mark();
    for (int pair = 0; pair < num_pairs(); ++pair) {
      // When the block itself is through with the next one, all have probably written this one: who
      // reads before only stands in the way.
      await_phase(arrived(min(pair + 1, num_pairs() - 1)), 0);
      for (int token = 0; token < args.num_tokens; ++token) {
        const int slot = groups.slot(2 * pair + own, token);
        if (slot >= 0) fetch_row(slot, groups.weights()[slot], mark, inner_row(slot));
      }
      __syncwarp();
      if (lane() == 0) arrive(inner_there(pair));
    }
  }

 private:
  using Operands = typename Block::Operands;
  using Block::args;
  using Block::arrived;
  using Block::find_experts;
  using Block::groups;
  using Block::has_tiles;
  using Block::inner_row;
  using Block::inner_there;
  using Block::lane;
  using Block::num_pairs;

  static constexpr int kTogether = 12;     // pieces of 128 columns
  static constexpr unsigned kPause = 100;  // ns

  // The router's weights of every other token. Where they are chosen here, one block writes a
  // token's experts and weights for those that come after the kernel.
  __device__ void find_weights(int own) const {
    for (int token = own; token < args.num_tokens; token += Block::kFetchWarps) {
      const int slot = token * args.top_k + lane();
      const bool used = lane() < args.top_k;
      if (args.scores.ranks == nullptr) {
        if (used) groups.weights()[slot] = __ldcg(args.topk_weights + slot);
        continue;
      }
      const std::int32_t id = used ? groups.expert_of_slot(slot) : 0;
      const float weight = weight_of_choice(args.scores, token, id, args.top_k);
      if (!used) continue;
      groups.weights()[slot] = weight;
      if (static_cast<int>(blockIdx.x) != token) continue;
      args.topk_ids[slot] = id;
      args.topk_weights[slot] = weight;
    }
    asm volatile("bar.sync 2, %0;" ::"n"(32 * Block::kFetchWarps) : "memory");
  }

  // The router's weight goes into the inner values: nothing is left to do with sums.
  __device__ void fetch_row(int slot, float weight, std::uint32_t mark, char* to) const {
    const int cols = args.down.cols;
    for (int first = 0; 128 * first < cols; first += kTogether) {
      float4 x[kTogether] = {};
      while (!read(args.inner + std::int64_t{slot} * cols, first, mark, x)) __nanosleep(kPause);
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const float4 v = without_mark(x[i]);
        Operands::store(to, cols, first + i,
                        {v.x * weight, v.y * weight, v.z * weight, v.w * weight});
      }
    }
  }

  // Whether all of them are there.
  __device__ bool read(const float* row, int first, std::uint32_t mark,
                       float4 (&x)[kTogether]) const {
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      const int column = 128 * (first + i) + 4 * lane();
      if (column < args.down.cols) x[i] = load_marked(row + column);
    }
    bool complete = true;
#pragma unroll
    for (int i = 0; i < kTogether; ++i) {
      const bool used = 128 * (first + i) + 4 * lane() < args.down.cols;
      complete = complete && (!used || is_marked(x[i], mark));
    }
    return __all_sync(kAllLanes, complete);
  }
};

}  // namespace m2::cuda
