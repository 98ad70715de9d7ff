// The experts of one token with int4 weights, in one kernel: gate and up, then down.
//
// All multiplying warps of a block share a tile of rows, each over its own units of 128 columns: a
// block takes tiles one by one, and those that get more of a saturated memory take more. One warp
// asks for weights, as far ahead as a ring of stages allows; one adds up the others' sums and
// writes the results.
#pragma once

#include "cuda/int4_call.cuh"
#include "cuda/int4_one_token_ring.cuh"
#include "cuda/weight_ring.cuh"

namespace m2::cuda {

template <int kGroup>
class Int4OneToken {
 public:
  static constexpr int kWarps = 12;  // that multiply
  static constexpr int kThreads = 32 * (kWarps + 2);
  using Tokens = Int4Tokens<kWarps>;
  using Ring = OneTokenRing<kWarps>;

  __host__ __device__ static int slot_bytes(const Int4Experts& args) {
    const int gate_up = 2 * args.gate.template eight_rows<kGroup>();
    const int down = kSetTokens * args.down.template eight_rows<kGroup>();
    return gate_up > down ? gate_up : down;
  }
  /// Of shared memory, with plan.slots; `blocks` share the rows.
  static int num_bytes(const Int4Experts& args, const Int4Plan& plan, int blocks) {
    return Ring::num_bytes(plan.slots, slot_bytes(args)) + token_bytes(args) +
           args.sizes.num_experts * static_cast<int>(sizeof(ExpertMatrices)) +
           small_floats(args, blocks) * static_cast<int>(sizeof(float));
  }

  __device__ Int4OneToken(char* shared, const Int4Experts& args)
      : args_(args),
        ring_(shared, args.plan.slots, slot_bytes(args)),
        token_memory_(shared + Ring::num_bytes(args.plan.slots, slot_bytes(args))),
        experts_(reinterpret_cast<ExpertMatrices*>(token_memory_ + token_bytes(args))),
        weights_(reinterpret_cast<float*>(experts_ + args.sizes.num_experts)),
        before_(weights_ + args.top_k),
        down_(share_of(args.down.rows / kUnitRows, static_cast<int>(blockIdx.x),
                       static_cast<int>(gridDim.x))) {}

  __device__ void run() {
    for (int e = static_cast<int>(threadIdx.x); e < args_.sizes.num_experts; e += kThreads) {
      experts_[e] = matrices_of(args_.experts[e]);
    }
    __syncthreads();
    begin_kernel();
    if (warp() < kWarps) {
      multiply();
    } else if (warp() == kWarps) {
      ask();
    } else {
      add();
    }
  }

 private:
  __host__ __device__ static int num_sets(const Int4Experts& args) {
    return (args.top_k + kSetTokens - 1) / kSetTokens;
  }
  __host__ __device__ static int token_bytes(const Int4Experts& args) {
    const int gate_up = Tokens::num_bytes(args.gate.units(), 1);
    const int down = Tokens::num_bytes(args.down.units(), num_sets(args));
    return gate_up > down ? gate_up : down;
  }
  // The router's weights, and what a block has of the output before.
  __host__ __device__ static int small_floats(const Int4Experts& args, int blocks) {
    return args.top_k + (args.down.rows / kUnitRows + blocks - 1) / blocks * kUnitRows;
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  [[nodiscard]] __device__ int gate_row_tiles() const { return args_.gate.rows / kUnitRows; }
  /// Of the warps that multiply.
  __device__ static void sync_multiplying() {
    asm volatile("bar.sync 1, %0;" ::"n"(32 * kWarps) : "memory");
  }
  /// Theirs and the adding warp's: all blocks' inner values are written.
  __device__ static void sync_met() {
    asm volatile("bar.sync 2, %0;" ::"n"(32 * (kWarps + 1)) : "memory");
  }

  // ---- the warp that asks

  __device__ void ask() {
    // The token's experts, each in a lane.
    const ExpertMatrices own = experts_[args_.topk_ids[min(lane(), args_.top_k - 1)]];
    ask_gate_up(own);
    for (int rows = down_.begin; rows < down_.end; ++rows) {
      for (int set = 0; set < num_sets(args_); ++set) ask_down(own, rows, set);
    }
  }

  // A block's first tiles are given, as many as it has stages; it claims the others. Two claims are
  // on their way while a tile is asked for.
  __device__ void ask_gate_up(const ExpertMatrices& own) {
    const int num_tiles = args_.top_k * gate_row_tiles();
    const auto blocks = static_cast<int>(gridDim.x);
    const int given = min(args_.plan.slots, num_tiles / blocks);
    const auto tile_at = [&](int i) {  // what lane 0 finds counts
      if (i < given) return static_cast<int>(blockIdx.x) * given + i;
      return given * blocks + (lane() == 0 ? atomicAdd(&args_.counters[0]->claimed, 1) : 0);
    };
    int tile = __shfl_sync(kAllLanes, tile_at(0), 0);
    int second = tile_at(1);
    int third = tile_at(2);
    if (tile >= num_tiles) return ring_.push_none();
    for (int i = 3; tile < num_tiles; ++i) {
      const int next = __shfl_sync(kAllLanes, second, 0);
      second = third;
      if (next < num_tiles) third = tile_at(i);
      ask_tile(own, tile, next >= num_tiles);
      tile = next;
    }
  }

  __device__ void ask_tile(const ExpertMatrices& own, int tile, bool last) {
    const UnitPosition position(tile, gate_row_tiles());
    const int bytes = args_.gate.template eight_rows<kGroup>();
    const char* gate = from_lane(own.gate, position.outer);
    const char* up = from_lane(own.up, position.outer);
    ring_.push({tile, last ? 1 : 0}, 2,
               (lane() == 0 ? gate : up) + std::int64_t{position.inner} * bytes, bytes);
  }
  __device__ void ask_down(const ExpertMatrices& own, int rows, int set) {
    const int bytes = args_.down.template eight_rows<kGroup>();
    const int choice = min(set * kSetTokens + lane() % kSetTokens, args_.top_k - 1);
    ring_.push({rows, 0}, kSetTokens, from_lane(own.down, choice) + std::int64_t{rows} * bytes,
               bytes);
  }
  __device__ static const char* from_lane(const char* pointer, int source) {
    return reinterpret_cast<const char*>(
        __shfl_sync(kAllLanes, reinterpret_cast<unsigned long long>(pointer), source));
  }

  // ---- the warps that multiply

  __device__ void multiply() {
    const Tokens token(token_memory_, args_.gate.units());
    load_small();
    token.fill([&](int) { return args_.hidden_states; }, 1, [] {});
    sync_multiplying();
    gate_up(token);
    sync_met();
    const Tokens inner(token_memory_, args_.down.units());
    inner.fill([&](int i) { return args_.inner + std::int64_t{i} * args_.down.cols; }, args_.top_k,
               [] {});
    sync_multiplying();
    for (int rows = down_.begin; rows < down_.end; ++rows) down(inner);
  }

  // What would later wait behind the weights.
  __device__ void load_small() const {
    const auto thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < args_.top_k; i += 32 * kWarps) weights_[i] = args_.topk_weights[i];
    const int num_rows = (down_.end - down_.begin) * kUnitRows;
    // By the last warps: each of the first waits for something already.
    for (int i = 32 * kWarps - 1 - thread; i < num_rows; i += 32 * kWarps) {
      before_[i] = args_.output[down_.begin * kUnitRows + i];
    }
  }

  __device__ void gate_up(const Tokens& token) {
    const int half_bytes = args_.gate.template eight_rows<kGroup>();
    bool last = false;
    while (!last) {
      float sums[2] = {};
      const OneTokenStage stage = ring_.wait();
      last = stage.last != 0;
      if (stage.tile >= 0) {
        for (int unit = warp(); unit < args_.gate.units(); unit += 2 * kWarps) {
          const std::uint32_t upper = ring_.slot() + unit * kUnitBytes<kGroup>;
          const auto add = [&](int, int half, float sum) { sums[half] += sum; };
          if (unit + kWarps < args_.gate.units()) {
            constexpr int kStep = kWarps * kUnitBytes<kGroup>;
            UnitPair<kGroup> pairs[2];
            pairs[0].load(upper, upper + half_bytes);
            pairs[1].load(upper + kStep, upper + kStep + half_bytes);
            const SetOperands operands[2] = {token.load(0, unit), token.load(0, unit + kWarps)};
            UnitPair<kGroup>::multiply(pairs, operands, add);
          } else {
            UnitPair<kGroup> pairs[1];
            pairs[0].load(upper, upper + half_bytes);
            const SetOperands operands[1] = {token.load(0, unit)};
            UnitPair<kGroup>::multiply(pairs, operands, add);
          }
        }
      }
      ring_.release();
      ring_.leave(stage, [&](float* to) {
        if (lane() % 4 != 0) return;
        to[lane() / 4] = sums[0];
        to[kUnitRows + lane() / 4] = sums[1];
      });
    }
  }

  // Eight rows of all experts. The inner rows of a set of experts are the tokens of a product; of
  // its sums those of an expert with its own row count: lane % 4 is the expert of the set, in the
  // upper rows of a pair if it is even.
  __device__ void down(const Tokens& inner) {
    const int eight_rows = args_.down.template eight_rows<kGroup>();
    float own = 0.0F;
    OneTokenStage stage = {};
    for (int set = 0; set < num_sets(args_); ++set) {
      stage = ring_.wait();
      float sums[2] = {};
      for (int unit = warp(); unit < args_.down.units(); unit += kWarps) {
        UnitPair<kGroup> pairs[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const std::uint32_t upper = ring_.slot() + 2 * i * eight_rows + unit * kUnitBytes<kGroup>;
          pairs[i].load(upper, upper + eight_rows);
        }
        const SetOperands tokens = inner.load(set, unit);
        const SetOperands operands[2] = {tokens, tokens};
        UnitPair<kGroup>::multiply(pairs, operands, [&](int i, int half, float sum) {
          if (lane() % 4 / 2 == i) sums[half] += sum;
        });
      }
      ring_.release();
      const int choice = set * kSetTokens + lane() % kSetTokens;
      if (choice < args_.top_k) own += weights_[choice] * (lane() % 2 == 0 ? sums[0] : sums[1]);
    }
    for (int lanes = 1; lanes < 4; lanes *= 2) own += __shfl_xor_sync(kAllLanes, own, lanes);
    ring_.leave(stage, [&](float* to) {
      if (lane() % 4 == 0) to[lane() / 4] = own;
    });
  }

  // ---- the warp that adds

  __device__ void add() {
    bool last = false;
    while (!last) {
      ring_.take([&](const OneTokenStage& stage, const float* sums) {
        last = stage.last != 0;
        if (stage.tile < 0) return;
        const float total = Ring::total(sums, lane() % (2 * kUnitRows));
        const float up = __shfl_down_sync(kAllLanes, total, kUnitRows);
        // Tiles of an expert follow each other, as its inner values do.
        if (lane() < kUnitRows) {
          args_.inner[stage.tile * kUnitRows + lane()] =
              quick_activate(args_.activation, total) * up;
        }
      });
    }
    __syncwarp();
    if (lane() == 0) meet_blocks(args_.counters[0]);
    __syncwarp();
    sync_met();
    for (int rows = down_.begin; rows < down_.end; ++rows) {
      ring_.take([&](const OneTokenStage&, const float* sums) {
        const int own = (rows - down_.begin) * kUnitRows + lane();
        if (lane() >= kUnitRows) return;
        args_.output[rows * kUnitRows + lane()] = before_[own] + Ring::total(sums, lane());
      });
    }
    if (lane() == 0) leave_counters(args_.counters[0], args_.counters[1]);
  }

  const Int4Experts& args_;
  Ring ring_;
  char* token_memory_;
  ExpertMatrices* experts_;  // [E]
  float* weights_;           // [K]
  float* before_;            // [rows of the block]
  Span down_;                // of eight rows
};

}  // namespace m2::cuda
