// The experts of one token with int4 weights, in one kernel: gate and up, then down.
//
// Two teams of warps take stages of weights in turns, tiles of gate and up or rows of down of one
// expert; a warp has its own units of 128 columns. Tiles of gate and up follow the experts; a block
// takes them one by one, and those that get more of a saturated memory take more. Of down a block
// has rows of its own, whose sums stay in registers over the experts. The inner values of an expert
// are there long before its turn, but for the last one's: helping warps wait for them and bring
// them into shared memory as operands. One warp asks for weights; one adds up the others' sums of
// gate and up.
//
// No more is asked for at a time than memory needs to be busy: small reads of a multiprocessor wait
// behind its weights (H200: 18.1 us with 50 KB, 18.3 with 76, more than 20 with 25).
#pragma once

#include "cuda/int4_one_token_asker.cuh"
#include "cuda/marked_values.cuh"

namespace m2::cuda {

template <int kGroup>
class Int4OneToken {
 public:
  static constexpr int kWarps = 8;  // that multiply
  static constexpr int kTeams = 2;
  static constexpr int kHelpers = 4;
  static constexpr int kHelperTeams = 2;
  static constexpr int kStageTiles = 4;  // of down's rows, at most
  static constexpr int kMostSlots = 4;   // of the ring; more make no difference (H200)
  static constexpr int kThreads = 32 * (kWarps + 2 + kHelpers);
  static constexpr int kBuffers = 6;  // of sums
  // Of a hundred tiles: 18.7 us, with 87 18.85, with 70 19.1 (H200).
  static constexpr int kGiven = 95;
  using Token = Int4Tokens<kWarps, 1>;
  using Inner = Int4Tokens<kHelpers, 1>;
  using Ring = OneTokenRing<OneTokenStage, kWarps, kTeams, kMostSlots, kBuffers>;

  [[nodiscard]] static bool takes(const Int4Experts& args) {
    return args.top_k <= ChoiceBarriers::kMaxChoices;
  }
  /// Of gate and up a stage is a tile, of down up to kStageTiles eights of rows.
  __host__ __device__ static int slot_bytes(const Int4Experts& args) {
    const int gate_up = 2 * args.gate.template eight_rows<kGroup>();
    const int down = args.plan.down_tiles * args.down.template eight_rows<kGroup>();
    return gate_up > down ? gate_up : down;
  }
  /// Of shared memory, with plan.slots; `blocks` share the rows.
  static int num_bytes(const Int4Experts& args, const Int4Plan& plan, int blocks) {
    return ChoiceBarriers::kBytes + Ring::num_bytes(plan.slots, slot_bytes(args)) +
           token_bytes(args) + inner_bytes(args) +
           args.sizes.num_experts * static_cast<int>(sizeof(ExpertMatrices)) +
           small_floats(args, blocks) * static_cast<int>(sizeof(float));
  }

  __device__ Int4OneToken(char* shared, const Int4Experts& args)
      : args_(args),
        choices_(shared, args.top_k, kTeamHelpers),
        ring_(shared + ChoiceBarriers::kBytes, args.plan.slots, slot_bytes(args)),
        token_memory_(shared + ChoiceBarriers::kBytes +
                      Ring::num_bytes(args.plan.slots, slot_bytes(args))),
        inner_memory_(token_memory_ + token_bytes(args)),
        experts_(reinterpret_cast<ExpertMatrices*>(inner_memory_ + inner_bytes(args))),
        row_sums_(reinterpret_cast<float*>(experts_ + args.sizes.num_experts)),
        weights_(row_sums_ + kWarps * kStageRows),
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
      OneTokenAsker<kGroup, Ring>(args_, ring_, choices_, down_).run(experts_);
    } else if (warp() == kWarps + 1) {
      add();
    } else {
      help();
    }
  }

 private:
  static constexpr int kTeamHelpers = kHelpers / kHelperTeams;
  static constexpr int kBatch = 6;  // units that a helper reads together
  static constexpr int kStageRows = kStageTiles * kUnitRows;

  __host__ __device__ static int token_bytes(const Int4Experts& args) {
    return Token::num_bytes(args.gate.units(), 1);
  }
  __host__ __device__ static int inner_bytes(const Int4Experts& args) {
    return Inner::num_bytes(args.down.units(), args.top_k);
  }
  // The warps' sums of rows, the router's weights, and what a block has of the output before.
  __host__ __device__ static int small_floats(const Int4Experts& args, int blocks) {
    return kWarps * kStageRows + args.top_k +
           (args.down.rows / kUnitRows + blocks - 1) / blocks * kUnitRows;
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  /// Of the warps that multiply.
  __device__ static void sync_multiplying() {
    asm volatile("bar.sync 1, %0;" ::"n"(32 * kWarps) : "memory");
  }

  // ---- the warps that multiply

  __device__ void multiply() {
    const Token token(token_memory_, args_.gate.units());
    const Inner inner(inner_memory_, args_.down.units());
    token.fill([&](int) { return args_.hidden_states; }, 1, [] {});
    sync_multiplying();
    ring_.join_team();
    float sums[kStageTiles] = {};
    int begin = down_.begin;
    bool last = false;
    while (!last) {
      const OneTokenStage stage = ring_.wait();
      if (stage.kind == StageKind::kGateUp) {
        gate_up(stage, token);
      } else if (stage.kind == StageKind::kDown) {
        down(stage.index, min(args_.plan.down_tiles, down_.end - begin), inner, sums);
      } else {
        last = stage.last != 0;
        ring_.release();
        const int tiles = min(args_.plan.down_tiles, down_.end - begin);
        add_rows(begin, tiles, stage.index, sums);
        begin += tiles;
      }
    }
  }

  __device__ void gate_up(const OneTokenStage& stage, const Token& token) {
    float sums[2] = {};
    const int units = stage.index < 0 ? 0 : args_.gate.units();
    int unit = warp() / kTeams;
    // The published width gives each warp six.
    for (; unit + 2 * Ring::kTeamWarps < units; unit += 3 * Ring::kTeamWarps) {
      multiply_units<3>(unit, token, sums);
    }
    for (; unit < units; unit += Ring::kTeamWarps) multiply_units<1>(unit, token, sums);
    ring_.release();
    ring_.leave(stage, [&](float* to) {
      if (lane() % 4 != 0) return;
      to[lane() / 4] = sums[0];
      to[kUnitRows + lane() / 4] = sums[1];
    });
  }
  // Units of a tile of gate and up that are a team's warps apart.
  template <int kCount>
  __device__ void multiply_units(int unit, const Token& token, float (&sums)[2]) const {
    const std::uint32_t gate = ring_.slot() + unit * kUnitBytes<kGroup>;
    const std::uint32_t up = gate + args_.gate.template eight_rows<kGroup>();
    constexpr int kStep = Ring::kTeamWarps * kUnitBytes<kGroup>;
    UnitPair<kGroup> pairs[kCount];
    SetOperands operands[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      pairs[i].load(gate + i * kStep, up + i * kStep);
      operands[i] = token.load(0, unit + i * Ring::kTeamWarps);
    }
    UnitPair<kGroup>::multiply(pairs, operands,
                               [&](int, int half, float sum) { sums[half] += sum; });
  }

  // sums[i] += the i-th eight of the block's rows times an expert's inner values, weighted.
  __device__ void down(int choice, int tiles, const Inner& inner, float (&sums)[kStageTiles]) {
    const int eight_rows = args_.down.template eight_rows<kGroup>();
    const std::uint32_t from = ring_.slot();
    choices_.await_ready(choice);
    const float weight = weights_[choice];
    for (int unit = warp() / kTeams; unit < args_.down.units(); unit += Ring::kTeamWarps) {
      const SetOperands token = inner.load(choice, unit);
      const std::uint32_t upper = from + unit * kUnitBytes<kGroup>;
      if (tiles > 2) {
        UnitPair<kGroup> pairs[2];
        pairs[0].load(upper, upper + eight_rows);
        pairs[1].load(upper + 2 * eight_rows, upper + (tiles - 1) * eight_rows);
        const SetOperands operands[2] = {token, token};
        UnitPair<kGroup>::multiply(pairs, operands, [&](int i, int half, float sum) {
          sums[2 * i + half] += weight * sum;
        });
      } else {
        UnitPair<kGroup> pairs[1];
        pairs[0].load(upper, upper + (tiles - 1) * eight_rows);
        const SetOperands operands[1] = {token};
        UnitPair<kGroup>::multiply(pairs, operands,
                                   [&](int, int half, float sum) { sums[half] += weight * sum; });
      }
    }
    ring_.release();
  }

  // The warps' sums of `tiles` eights of rows from `begin` on, together. In the order of choices,
  // not of teams: which of them has the first choice depends on how many tiles the block claimed.
  __device__ void add_rows(int begin, int tiles, int first_team, float (&sums)[kStageTiles]) {
    static_assert(kTeams == 2);
    if (lane() % 4 == 0) {
#pragma unroll
      for (int i = 0; i < kStageTiles; ++i) {
        row_sums_[(warp() ^ first_team) * kStageRows + i * kUnitRows + lane() / 4] = sums[i];
        sums[i] = 0.0F;
      }
    }
    sync_multiplying();
    if (warp() == 0 && lane() < tiles * kUnitRows) {
      float total = 0.0F;
#pragma unroll
      for (int i = 0; i < kWarps; ++i) total += row_sums_[i * kStageRows + lane()];
      const int row = begin * kUnitRows + lane();
      args_.output[row] = before_[row - down_.begin * kUnitRows] + total;
    }
    if (begin + tiles < down_.end) sync_multiplying();
  }

  // ---- the warp that adds

  __device__ void add() {
    const std::uint32_t mark = args_.round->mark();
    bool last = false;
    int done = 0;
    while (!last) {
      ring_.take([&](const OneTokenStage& stage, const float* sums) {
        last = stage.last != 0;
        if (stage.index >= 0) {
          const float total = Ring::total(sums, lane() % (2 * kUnitRows));
          const float up = __shfl_down_sync(kAllLanes, total, kUnitRows);
          // Tiles of an expert follow each other, as its inner values do.
          if (lane() < kUnitRows) {
            store_marked(args_.inner + stage.index * kUnitRows + lane(),
                         quick_activate(args_.activation, total) * up, mark);
          }
        }
        for (; done < stage.done; ++done) {
          if (lane() == 0) choices_.set_written(done);
        }
      });
    }
  }

  // ---- the warps that help

  // A team takes every other choice, once this block is done with the next one: by then all blocks
  // have probably written it. Asking earlier delays those that write.
  __device__ void help() {
    const std::uint32_t mark = args_.round->mark();
    const int helper = warp() - kWarps - 2;
    load_small(helper);
    const Inner inner(inner_memory_, args_.down.units());
    for (int choice = helper / kTeamHelpers; choice < args_.top_k; choice += kHelperTeams) {
      choices_.await_written(min(choice + 1, args_.top_k - 1));
      const float* row = args_.inner + std::int64_t{choice} * args_.down.cols + 4 * lane();
      for (int unit = helper % kTeamHelpers; unit < args_.down.units();
           unit += kBatch * kTeamHelpers) {
        fetch(row, unit, mark, choice, inner);
      }
      __syncwarp();
      if (lane() == 0) choices_.add_ready(choice);
    }
  }

  // Units `first`, first + kTeamHelpers .. of a choice, up to kBatch.
  __device__ void fetch(const float* row, int first, std::uint32_t mark, int choice,
                        const Inner& inner) const {
    float4 columns[kBatch];
    bool complete;
    do {
      complete = true;
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int unit = first + i * kTeamHelpers;
        if (unit >= args_.down.units()) break;
        columns[i] = load_marked(row + unit * kUnitColumns);
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int unit = first + i * kTeamHelpers;
        if (unit >= args_.down.units()) break;
        complete = complete && is_marked(columns[i], mark);
      }
    } while (!__all_sync(kAllLanes, complete));
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int unit = first + i * kTeamHelpers;
      if (unit < args_.down.units()) inner.put(choice, unit, without_mark(columns[i]));
    }
  }

  // What would later wait behind the weights.
  __device__ void load_small(int helper) const {
    if (helper == 0) load_weights();
    if (helper != kTeamHelpers - 1) return;
    const int num_rows = (down_.end - down_.begin) * kUnitRows;
    for (int i = lane(); i < num_rows; i += 32) {
      before_[i] = args_.output[down_.begin * kUnitRows + i];
    }
  }
  __device__ void load_weights() const {
    if (args_.scores.ranks == nullptr) {
      if (lane() < args_.top_k) weights_[lane()] = args_.topk_weights[lane()];
      return;
    }
    const std::int32_t id = own_choice(args_);
    const float weight = weight_of_choice(args_.scores, 0, id, args_.top_k);
    if (lane() >= args_.top_k) return;
    weights_[lane()] = weight;
    if (blockIdx.x > 0) return;
    args_.topk_ids[lane()] = id;
    args_.topk_weights[lane()] = weight;
  }

  const Int4Experts& args_;
  ChoiceBarriers choices_;
  Ring ring_;
  char* token_memory_;
  char* inner_memory_;
  ExpertMatrices* experts_;  // [E]
  float* row_sums_;          // [kWarps, kStageRows]
  float* weights_;           // [K]
  float* before_;            // [rows of the block]
  Span down_;                // of eight rows
};

}  // namespace m2::cuda
