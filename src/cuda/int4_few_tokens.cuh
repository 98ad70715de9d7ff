// The experts of few tokens with int4 weights, in one kernel: gate and up, and behind them down.
//
// Tokens are sorted by expert inside every block; groups (int4_few_tokens_stages.cuh) follow each
// other. Two teams of warps take stages of weights in turns, tiles of gate and up or rows of down
// of one group; a warp has its own units of 128 columns. Blocks take tiles of gate and up one by
// one, and those that get more of a saturated memory take more. Of down a block has rows of its
// own, those of a group some groups after its gate and up: by then the inner values are there, and
// helping warps have brought them into shared memory as operands. One warp asks for weights; one
// adds up the others' sums, in the same order in every launch, and keeps those of the rows.
//
// No more is asked for at a time than memory needs to be busy: small reads of a multiprocessor wait
// behind its weights.
#pragma once

#include "cuda/int4_few_tokens_asker.cuh"
#include "cuda/int4_few_tokens_operands.cuh"

namespace m2::cuda {

template <int kGroup>
class Int4FewTokens {
 public:
  static constexpr int kWarps = 8;  // that multiply
  static constexpr int kTeams = 2;
  static constexpr int kHelpers = 6;
  static constexpr int kStageTiles = 4;  // of down's rows, at most
  static constexpr int kMostSlots = 4;   // of the ring
  static constexpr int kThreads = 32 * (kWarps + kHelpers + 2);
  static constexpr int kBuffers = 4;                        // of sums
  static constexpr int kTileSums = kSetTokens * kUnitRows;  // of eight rows
  static constexpr int kGiven = 95;                         // of a hundred tiles
  using Tokens = Int4Tokens<kWarps, 1>;
  using Ring = OneTokenRing<Int4FewTokensStage, kWarps, kTeams, kMostSlots, kBuffers,
                            kStageTiles * kTileSums>;

  [[nodiscard]] static bool takes(const Int4Experts& args) {
    return num_tokens(args) <= Int4FewTokensGroups::kMostTokens &&
           args.sizes.num_slots <= Int4FewTokensGroups::kMostSlots &&
           args.top_k <= kMostRankedChoices;
  }
  /// Of gate and up a stage is a tile, of down up to kStageTiles eights of rows.
  __host__ __device__ static int slot_bytes(const Int4Experts& args) {
    const int gate_up = 2 * args.gate.template eight_rows<kGroup>();
    const int down = args.plan.down_tiles * args.down.template eight_rows<kGroup>();
    return ((gate_up > down ? gate_up : down) + 127) / 128 * 128;
  }
  /// Of shared memory; `blocks` share the rows.
  static int num_bytes(const Int4Experts& args, const Int4Plan& plan, int blocks) {
    const int rows = (args.down.rows / kUnitRows + blocks - 1) / blocks * kUnitRows;
    return PairBarriers::num_bytes(args.sizes.max_tiles(), args.plan.entries) +
           Ring::num_bytes(plan.slots, slot_bytes(args)) + token_bytes(args) +
           inner_bytes(args, args.plan.entries) + table_bytes(args) + Int4FewTokensGroups::kBytes +
           (2 * num_tokens(args) * rows + args.sizes.num_slots) * 4;
  }

  __device__ Int4FewTokens(char* shared, const Int4Experts& args)
      : args_(args),
        down_(share_of(args.down.rows / kUnitRows, static_cast<int>(blockIdx.x),
                       static_cast<int>(gridDim.x))),
        barriers_(shared, args.sizes.max_tiles(), args.plan.entries,
                  Ring::kTeamWarps * down_stages()),
        ring_(shared + PairBarriers::num_bytes(args.sizes.max_tiles(), args.plan.entries),
              args.plan.slots, slot_bytes(args)),
        token_memory_(shared + PairBarriers::num_bytes(args.sizes.max_tiles(), args.plan.entries) +
                      Ring::num_bytes(args.plan.slots, slot_bytes(args))),
        inner_memory_(token_memory_ + token_bytes(args)),
        experts_(reinterpret_cast<ExpertMatrices*>(inner_memory_ +
                                                   inner_bytes(args, args.plan.entries))),
        groups_(reinterpret_cast<char*>(experts_) + table_bytes(args), inner_memory_),
        row_sums_(reinterpret_cast<float*>(reinterpret_cast<char*>(experts_) + table_bytes(args) +
                                           Int4FewTokensGroups::kBytes)),
        before_(row_sums_ + num_tokens(args) * num_rows()),
        weights_(before_ + num_tokens(args) * num_rows()) {}

  __device__ void run() {
    for (int e = static_cast<int>(threadIdx.x); e < args_.sizes.num_experts; e += kThreads) {
      experts_[e] = matrices_of(args_.experts[e]);
      groups_.clear(e);
    }
    __syncthreads();
    begin_kernel();
    // The last block to leave changes it, but only after all have begun.
    const std::uint32_t mark = args_.round->mark();
    if (warp() < kWarps) {
      fill_tokens<kWarps>(Tokens(token_memory_, args_.gate.units()), args_.hidden_states,
                          args_.gate.units(), num_tokens(args_));
      await_begun();
      return multiply();
    }
    choose(warp() - kWarps);
    if (warp() == kWarps) {
      await_chosen();
      groups_.list(args_.sizes.num_slots, args_.top_k);
      arrive_begun();
      return Int4FewTokensAsker<kGroup, Ring>(args_, ring_, groups_, experts_, down_).run();
    }
    if (warp() == kWarps + 1) {
      load_before();
      await_chosen();
      load_weights();
      await_begun();
      return add(mark);
    }
    arrive_chosen();
    await_begun();
    help(warp() - kWarps - 2, mark);
  }

 private:
  using Inner = Int4Tokens<kHelpers, 1>;
  // Groups that a block has behind it when its helpers ask for the inner values of one.
  static constexpr int kDelay = 2;
  static_assert(kDelay < kLag);
  static constexpr int kChoosers = kHelpers + 2;

  __host__ __device__ static int num_tokens(const Int4Experts& args) {
    return args.sizes.num_slots / args.top_k;
  }
  __host__ __device__ static int token_bytes(const Int4Experts& args) {
    return Tokens::num_bytes(args.gate.units(), num_tokens(args));
  }
  // Before that masks of the groups.
  __host__ __device__ static int inner_bytes(const Int4Experts& args, int entries) {
    const int inner = Inner::num_bytes(args.down.units(), entries);
    const int masks = Int4FewTokensGroups::mask_bytes(args.sizes.num_experts);
    return inner > masks ? inner : masks;
  }
  __host__ __device__ static int table_bytes(const Int4Experts& args) {
    return (args.sizes.num_experts * static_cast<int>(sizeof(ExpertMatrices)) + 15) / 16 * 16;
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  /// Of the block.
  [[nodiscard]] __device__ int num_rows() const { return (down_.end - down_.begin) * kUnitRows; }
  [[nodiscard]] __device__ int down_stages() const {  // of a group
    return max(1, (down_.end - down_.begin + args_.plan.down_tiles - 1) / args_.plan.down_tiles);
  }
  [[nodiscard]] __device__ int down_tiles(const Int4FewTokensStage& stage) const {
    return min(args_.plan.down_tiles, down_.end - down_.begin - stage.first);
  }

  // ---- all warps but those that multiply, at the beginning

  // Each chooses for every kChoosers-th token.
  __device__ void choose(int chooser) const {
    for (int token = chooser; token < num_tokens(args_); token += kChoosers) {
      const std::int32_t id =
          args_.scores.ranks != nullptr
              ? choose_expert(args_.scores, token, args_.top_k)
              : __ldcg(args_.topk_ids + token * args_.top_k + min(lane(), args_.top_k - 1));
      if (lane() < args_.top_k) groups_.put(token * args_.top_k + lane(), id);
    }
    __syncwarp();
  }
  __device__ static void arrive_chosen() {
    asm volatile("bar.arrive 1, %0;" ::"n"(32 * kChoosers) : "memory");
  }
  __device__ static void await_chosen() {
    asm volatile("bar.sync 1, %0;" ::"n"(32 * kChoosers) : "memory");
  }
  // Tokens and groups are there.
  __device__ static void arrive_begun() {
    asm volatile("bar.arrive 2, %0;" ::"n"(kThreads) : "memory");
  }
  __device__ static void await_begun() {
    asm volatile("bar.sync 2, %0;" ::"n"(kThreads) : "memory");
  }

  // ---- the warps that multiply

  __device__ void multiply() {
    ring_.join_team();
    while (true) {
      const Int4FewTokensStage stage = ring_.wait();
      float sums[kStageTiles] = {};
      int count = 0;
      if (stage.kind == StageKind::kGateUp) {
        if (stage.first >= 0) count = gate_up(stage, sums);
        ring_.release();
        leave<2>(stage, count, sums);
      } else if (stage.kind == StageKind::kDown) {
        count = down(stage, sums);
        ring_.release();
        leave<kStageTiles>(stage, count, sums);
      } else {
        ring_.release();
        leave<1>(stage, count, sums);
        return;
      }
    }
  }
  template <int kTiles>
  __device__ void leave(const Int4FewTokensStage& stage, int count,
                        const float (&sums)[kStageTiles]) {
    ring_.leave(stage, [&](float* to) {
      if (lane() % kSetTokens >= count) return;
#pragma unroll
      for (int i = 0; i < kTiles; ++i) {
        to[i * kTileSums + lane() % kSetTokens * kUnitRows + lane() / kSetTokens] = sums[i];
      }
    });
  }

  // sums[0], [1]: a tile of gate and up. Returns the number of tokens.
  __device__ int gate_up(const Int4FewTokensStage& stage, float (&sums)[kStageTiles]) const {
    const ExpertTile tile = groups_.tile(stage.group);
    const Tokens tokens(token_memory_, args_.gate.units());
    const PickedTokens picked =
        tokens.pick([&](int i) { return groups_.token(tile.first + min(i, tile.count - 1)); });
    const int units = args_.gate.units();
    int unit = warp() / kTeams;
    // The published width gives each warp six.
    for (; unit + 2 * Ring::kTeamWarps < units; unit += 3 * Ring::kTeamWarps) {
      multiply_units<3>(unit, tokens, picked, sums);
    }
    for (; unit < units; unit += Ring::kTeamWarps) multiply_units<1>(unit, tokens, picked, sums);
    return tile.count;
  }
  // Units of a tile of gate and up that are a team's warps apart.
  template <int kCount>
  __device__ void multiply_units(int unit, const Tokens& tokens, const PickedTokens& picked,
                                 float (&sums)[kStageTiles]) const {
    const std::uint32_t gate = ring_.slot() + unit * kUnitBytes<kGroup>;
    const std::uint32_t up = gate + args_.gate.template eight_rows<kGroup>();
    constexpr int kStep = Ring::kTeamWarps * kUnitBytes<kGroup>;
    UnitPair<kGroup> pairs[kCount];
    SetOperands operands[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      pairs[i].load(gate + i * kStep, up + i * kStep);
      operands[i] = tokens.load(picked, unit + i * Ring::kTeamWarps);
    }
    UnitPair<kGroup>::multiply(pairs, operands,
                               [&](int, int half, float sum) { sums[half] += sum; });
  }

  // sums[i]: the i-th eight of a stage's rows. Returns the number of tokens.
  __device__ int down(const Int4FewTokensStage& stage, float (&sums)[kStageTiles]) const {
    const ExpertTile tile = groups_.tile(stage.group);
    const Inner inner(inner_memory_, args_.down.units());
    const PickedTokens picked =
        inner.pick([&](int i) { return barriers_.entry(tile.first + min(i, tile.count - 1)); });
    const int tiles = down_tiles(stage);
    const int eight_rows = args_.down.template eight_rows<kGroup>();
    const std::uint32_t from = ring_.slot();
    for (int i = 0; i < tile.count; ++i) barriers_.await_ready(tile.first + i);
    // Three units at a time, as above, are slower (H200, eight tokens: 139 instead of 124 us).
    for (int unit = warp() / kTeams; unit < args_.down.units(); unit += Ring::kTeamWarps) {
      const SetOperands token = inner.load(picked, unit);
      const std::uint32_t upper = from + unit * kUnitBytes<kGroup>;
      if (tiles > 2) {
        UnitPair<kGroup> pairs[2];
        pairs[0].load(upper, upper + eight_rows);
        pairs[1].load(upper + 2 * eight_rows, upper + (tiles - 1) * eight_rows);
        const SetOperands operands[2] = {token, token};
        UnitPair<kGroup>::multiply(pairs, operands,
                                   [&](int i, int half, float sum) { sums[2 * i + half] += sum; });
      } else {
        UnitPair<kGroup> pairs[1];
        pairs[0].load(upper, upper + (tiles - 1) * eight_rows);
        const SetOperands operands[1] = {token};
        UnitPair<kGroup>::multiply(pairs, operands,
                                   [&](int, int half, float sum) { sums[half] += sum; });
      }
    }
    __syncwarp();
    if (lane() < tile.count) barriers_.set_free(tile.first + lane());
    return tile.count;
  }

  // ---- the warp that adds

  __device__ void add(std::uint32_t mark) {
    bool last = false;
    int done = 0;
    while (!last) {
      ring_.take([&](const Int4FewTokensStage& stage, const float* sums) {
        last = stage.kind == StageKind::kEnd;
        if (stage.kind == StageKind::kDown) {
          add_rows(stage, sums);
        } else if (!last) {
          if (stage.first >= 0) activate(stage, sums, mark);
          for (; done < stage.done; ++done) {
            if (lane() == 0) barriers_.set_written(done);
          }
        }
      });
    }
    for (int i = lane(); i < num_tokens(args_) * num_rows(); i += 32) {
      const UnitPosition at(i, num_rows());
      args_.output[std::int64_t{at.outer} * args_.down.rows + down_.begin * kUnitRows + at.inner] =
          before_[i] + row_sums_[i];
    }
    // All of the block's warps have claimed and read what they will.
    if (lane() == 0) args_.round->leave();
  }
  __device__ void activate(const Int4FewTokensStage& stage, const float* sums,
                           std::uint32_t mark) const {
    const ExpertTile tile = groups_.tile(stage.group);
    const int token = lane() / kUnitRows;
    if (token >= tile.count) return;
    const float gate = Ring::total(sums, lane());
    const float up = Ring::total(sums, kTileSums + lane());
    store_marked(args_.inner + std::int64_t{tile.first + token} * args_.gate.rows +
                     stage.first * kUnitRows + lane() % kUnitRows,
                 quick_activate(args_.activation, gate) * up, mark);
  }
  // A token has an expert once.
  __device__ void add_rows(const Int4FewTokensStage& stage, const float* sums) const {
    const ExpertTile tile = groups_.tile(stage.group);
    if (lane() / kUnitRows >= tile.count) return;
    const int slot = groups_.slot(tile.first + lane() / kUnitRows);
    const float weight = weights_[slot];
    float* to = row_sums_ + groups_.token(tile.first + lane() / kUnitRows) * num_rows() +
                stage.first * kUnitRows + lane() % kUnitRows;
    const int tiles = down_tiles(stage);
#pragma unroll
    for (int i = 0; i < kStageTiles; ++i) {
      if (i < tiles) to[i * kUnitRows] += weight * Ring::total(sums, i * kTileSums + lane());
    }
  }
  // The router's weights; each token's choice is written out by one block.
  __device__ void load_weights() const {
    if (args_.scores.ranks == nullptr) {
      for (int i = lane(); i < args_.sizes.num_slots; i += 32) weights_[i] = args_.topk_weights[i];
      return __syncwarp();
    }
    float scores[Int4FewTokensGroups::kMostTokens];
#pragma unroll
    for (int t = 0; t < Int4FewTokensGroups::kMostTokens; ++t) {  // on their way together
      const int token = min(t, num_tokens(args_) - 1);
      const int slot = token * args_.top_k + min(lane(), args_.top_k - 1);
      scores[t] = score_of_choice(args_.scores, token, groups_.id(slot), args_.top_k);
    }
#pragma unroll
    for (int t = 0; t < Int4FewTokensGroups::kMostTokens; ++t) {
      const float weight = scores[t] / sum_of_warp(scores[t]);
      if (t >= num_tokens(args_) || lane() >= args_.top_k) continue;
      const int slot = t * args_.top_k + lane();
      weights_[slot] = weight;
      if (static_cast<int>(blockIdx.x) != t % static_cast<int>(gridDim.x)) continue;
      args_.topk_ids[slot] = groups_.id(slot);
      args_.topk_weights[slot] = weight;
    }
    __syncwarp();
  }
  // Now, since it would later wait behind the weights.
  __device__ void load_before() const {
    for (int i = lane(); i < num_tokens(args_) * num_rows(); i += 32) {
      const UnitPosition at(i, num_rows());
      before_[i] = args_.output[std::int64_t{at.outer} * args_.down.rows + down_.begin * kUnitRows +
                                at.inner];
      row_sums_[i] = 0.0F;
    }
  }

  // ---- the warps that help

  // A warp takes every kHelpers-th pair, once this block is done with some groups after its own: by
  // then all blocks have probably written it. Asking earlier delays those that write.
  __device__ void help(int helper, std::uint32_t mark) const {
    if (num_rows() == 0) return;
    const Inner inner(inner_memory_, args_.down.units());
    int group = 0;
    for (int pair = 0; pair < args_.sizes.num_slots; ++pair) {
      if (barriers_.entry(pair) % kHelpers != helper) continue;
      while (groups_.tile(group).first + groups_.tile(group).count <= pair) ++group;
      barriers_.await_written(min(group + kDelay, groups_.num_tiles() - 1));
      barriers_.await_free(pair);
      const float* row = args_.inner + std::int64_t{pair} * args_.down.cols;
      fetch_inner(inner, barriers_.entry(pair), row, args_.down.units(), mark);
      __syncwarp();
      if (lane() == 0) barriers_.set_ready(pair);
    }
  }

  const Int4Experts& args_;
  Span down_;  // of eight rows
  PairBarriers barriers_;
  Ring ring_;
  char* token_memory_;
  char* inner_memory_;
  ExpertMatrices* experts_;  // [E]
  Int4FewTokensGroups groups_;
  float* row_sums_;  // [T, rows of the block]
  float* before_;    // likewise: of the output
  float* weights_;   // [T, K]
};

}  // namespace m2::cuda
