// Sums of one token's experts (expert_one_token.cuh), and the inner values on their way from gate
// and up to down.
#pragma once

#include "cuda/one_token_block.cuh"

namespace m2::cuda {

/// What the warp does that adds up the sums of those that multiply.
template <typename Block>
class OneTokenAdder : Block {
 public:
  __device__ explicit OneTokenAdder(const Block& block) : Block(block) {}

  __device__ void run() {
    for_own_tiles([&](int tile, int i) {
      if (lane() < kTileOfRows) {
        row_sums[i * kTileOfRows + lane()] = args.output[tile * kTileOfRows + lane()];
      }
    });
    if (blockIdx.x == 0 && args.scores.ranks != nullptr) write_choice();
    add_gate_up();
    for (int pair = 0; pair < num_pairs(); ++pair) {
      const bool is_last = pair + 1 == num_pairs();
      for_own_tiles([&](int tile, int i) { add_down(tile, i, is_last); });
    }
    __syncwarp();
    if (lane() == 0) meetings.leave();
  }

 private:
  using Block::args;
  using Block::arrived;
  using Block::for_own_tiles;
  using Block::lane;
  using Block::meetings;
  using Block::num_pairs;
  using Block::ring;
  using Block::row_sums;

  // Seen by all when the blocks have met.
  __device__ void write_choice() {
    const std::int32_t id = choose_expert(args.scores, 0, args.top_k);
    const float weight = weight_of_choice(args.scores, 0, id, args.top_k);
    if (lane() >= args.top_k) return;
    args.topk_ids[lane()] = id;
    args.topk_weights[lane()] = weight;
  }

  __device__ void add_gate_up() {
    int pairs_done = 0;
    bool last = false;
    while (!last) {
      ring.take([&](const ExpertStage& unit, const float* sums) {
        last = unit.last != 0;
        if (unit.tile >= 0) {
          const float total = Block::Ring::total(sums, lane() % (2 * kTileOfRows));
          const float up = __shfl_down_sync(kAllLanes, total, kTileOfRows);
          // Tiles of an expert follow each other, as its inner values do.
          if (lane() < kTileOfRows) {
            args.inner[unit.tile * kTileOfRows + lane()] =
                quick_activate(args.activation, total) * up;
          }
          __syncwarp();
        }
        for (; pairs_done < unit.parts_done; ++pairs_done) {
          if (lane() != 0) continue;
          meetings.arrive(pairs_done);
          arrive(arrived(pairs_done));
        }
      });
    }
  }

  __device__ void add_down(int tile, int i, bool is_last) {
    ring.take([&](const ExpertStage&, const float* sums) {
      if (lane() >= kTileOfRows) return;
      const int row = i * kTileOfRows + lane();
      const float sum = row_sums[row] + Block::Ring::total(sums, lane());
      row_sums[row] = sum;
      if (is_last) args.output[tile * kTileOfRows + lane()] = sum;
    });
  }
};

/// What the warps do that bring inner values, one of each pair.
template <typename Block>
class OneTokenFetcher : Block {
 public:
  __device__ explicit OneTokenFetcher(const Block& block) : Block(block) {}

  __device__ void run(int own) {
    if (!has_tiles()) return;
    for (int pair = 0; pair < num_pairs(); ++pair) {
      const int choice = 2 * pair + own;
      // Nobody asks about the others before the block itself has arrived.
      await_phase(arrived(pair), 0);
      if (lane() == 0) meetings.wait(pair);
      __syncwarp();
      fetch_row(choice, inner_row(choice));
      __syncwarp();
      if (lane() == 0) arrive(inner_there(pair));
    }
  }

 private:
  using Operands = typename Block::Operands;
  using Block::args;
  using Block::arrived;
  using Block::has_tiles;
  using Block::inner_row;
  using Block::inner_there;
  using Block::lane;
  using Block::meetings;
  using Block::num_pairs;

  // The router's weight goes into the inner values: nothing is left to do with sums.
  __device__ void fetch_row(int choice, char* to) const {
    constexpr int kTogether = 12;
    const int cols = args.down.cols;
    const bool used = choice < args.top_k;
    const float weight = used ? __ldcg(args.topk_weights + choice) : 0.0F;
    const auto* from =
        reinterpret_cast<const float4*>(args.inner + std::int64_t{choice} * cols) + lane();
    for (int first = 0; 128 * first < cols; first += kTogether) {
      float4 x[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const bool there = used && 128 * (first + i) + 4 * lane() < cols;
        x[i] = there ? __ldcg(from + 32 * (first + i)) : float4{};
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const float4 weighted = {x[i].x * weight, x[i].y * weight, x[i].z * weight,
                                 x[i].w * weight};
        Operands::store(to, cols, first + i, weighted);
      }
    }
  }
};

}  // namespace m2::cuda
