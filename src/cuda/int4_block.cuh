// The experts of a few tokens with int4 weights, in one kernel: gate and up, then down.
//
// One block stays on every multiprocessor, and each of its warps has a stream of weights of its own
// (int4_stream.cuh). They ask for down's weights while the last inner values of gate and up are
// computed anywhere: memory does not rest between the two.
#pragma once

#include "cuda/int4_call.cuh"
#include "cuda/int4_chunks.cuh"

namespace m2::cuda {

template <int kGroup, int kWarps, int kStageUnits, int kUnroll>
class Int4Block {
 public:
  using Stream = Int4Stream<kGroup, kWarps, kStageUnits, kUnroll>;
  using Tokens = Int4Tokens<kWarps>;
  using Chunks = Int4Chunks<kWarps>;

  /// Of shared memory.
  static int num_bytes(const Int4Experts& args, const Int4Plan& plan) {
    return Stream::num_bytes(plan.slots) + work_bytes(args, plan.sets) + table_bytes(args) +
           BlockGroups::num_bytes(args.sizes) + Chunks::kSharedBytes;
  }

  __device__ Int4Block(char* shared, const Int4Experts& args)
      : args_(args),
        stream_(shared, args.plan.slots),
        token_memory_(shared + Stream::num_bytes(args.plan.slots)),
        experts_(
            reinterpret_cast<ExpertMatrices*>(token_memory_ + work_bytes(args, args.plan.sets))),
        groups_(reinterpret_cast<char*>(experts_) + table_bytes(args), token_memory_, args.sizes),
        chunks_(reinterpret_cast<char*>(experts_) + table_bytes(args) +
                BlockGroups::num_bytes(args.sizes)) {}

  __device__ void run() {
    chunks_.begin(args_.counters[0], args_.counters[1]);
    for (auto e = static_cast<int>(threadIdx.x); e < args_.sizes.num_experts; e += 32 * kWarps) {
      experts_[e] = matrices_of(args_.experts[e]);
    }
    groups_.clear();
    __syncthreads();
    begin_kernel();
    sort_groups(groups_, args_.scores, args_.topk_ids, args_.top_k);
    chunks_.set_shares(groups_.num_tiles(), row_tiles(false), row_tiles(true));
    cursor_ = {false, chunks_.share(false).first(), true};
#pragma unroll 1
    for (int half = 0; half < 2; ++half) {
      if (half == 1) meet();
      multiply_chunks(half == 1);
    }
    if (threadIdx.x == 0) leave_counters(args_.counters[0], args_.counters[1]);
  }

 private:
  // Of the tokens, and before that of the sorting.
  __host__ __device__ static int work_bytes(const Int4Experts& args, int sets) {
    const int gate_up = Tokens::num_bytes(args.gate.units(), sets);
    const int down = Tokens::num_bytes(args.down.units(), sets);
    const int sorting = BlockGroups::sorting_bytes(args.sizes);
    const int tokens = gate_up > down ? gate_up : down;
    return tokens > sorting ? tokens : sorting;
  }
  __host__ __device__ static int table_bytes(const Int4Experts& args) {
    return (args.sizes.num_experts * static_cast<int>(sizeof(ExpertMatrices)) + 15) / 16 * 16;
  }

  __device__ static int lane() { return Stream::lane(); }

  // Of a tile of slots: gate and up have eight rows each in one, down sixteen.
  [[nodiscard]] __device__ int row_tiles(bool is_down) const {
    return is_down ? args_.down.rows / (2 * kUnitRows) : args_.gate.rows / kUnitRows;
  }
  [[nodiscard]] __device__ const ExpertMatrices& expert_of_tile(int tile) const {
    return experts_[groups_.tile(tile).expert];
  }
  [[nodiscard]] __device__ Int4Tile gate_tile(int expert_tile, int row_tile) const {
    const ExpertMatrices& expert = expert_of_tile(expert_tile);
    const std::int64_t offset = std::int64_t{row_tile} * args_.gate.template eight_rows<kGroup>();
    return {expert.gate + offset, expert.up + offset, args_.gate.units()};
  }
  [[nodiscard]] __device__ Int4Tile down_tile(int expert_tile, int row_tile) const {
    const int eight_rows = args_.down.template eight_rows<kGroup>();
    const char* upper = expert_of_tile(expert_tile).down + std::int64_t{2 * row_tile} * eight_rows;
    return {upper, upper + eight_rows, args_.down.units()};
  }

  // The stream's next tile: chunks of gate and up, then those of down.
  [[nodiscard]] __device__ auto next_tile() {
    return [this](Int4Tile& tile) {
      while (true) {
        if (!cursor_.is_here) {
          const int next = chunks_.after(cursor_.is_down, cursor_.chunk);
          if (next == Chunks::kUnknown) return false;
          cursor_ = {cursor_.is_down, next, true};
        }
        const ChunkShare share = chunks_.share(cursor_.is_down);
        if (!share.has(cursor_.chunk)) {
          if (cursor_.is_down) return false;
          cursor_ = {true, chunks_.share(true).first(), true};
          continue;
        }
        cursor_.is_here = false;
        const int row_tile = Chunks::row_tile(share, cursor_.chunk);
        if (row_tile >= share.row_tiles) continue;
        const int expert_tile = cursor_.chunk / share.per_slots;
        tile =
            cursor_.is_down ? down_tile(expert_tile, row_tile) : gate_tile(expert_tile, row_tile);
        return true;
      }
    };
  }

  // The block's chunks of gate and up, or of down, in their order.
  __device__ void multiply_chunks(bool is_down) {
    const ChunkShare share = chunks_.share(is_down);
    const Tokens tokens(token_memory_, is_down ? args_.down.units() : args_.gate.units());
    int filled = -1;
    for (int chunk = share.first(); share.has(chunk); chunk = chunks_.after(is_down, chunk)) {
      const int slot_tile = chunk / share.per_slots;
      const ExpertTile slots = groups_.tile(slot_tile);
      if (share.is_claimed(chunk) || slot_tile != filled) {
        enter(tokens, slots, is_down, chunk, slot_tile != filled);
        filled = slot_tile;
      }
      const int row_tile = Chunks::row_tile(share, chunk);
      if (row_tile >= share.row_tiles) continue;
      multiply(tokens, slots, is_down,
               row_tile * (is_down ? 2 * kUnitRows : kUnitRows) + lane() / 4);
    }
  }

  // By all warps: the tokens of a chunk, and what follows it if it was claimed. What a block reads
  // waits behind the weights that it has asked for: the first tokens of all are read before.
  __device__ void enter(const Tokens& tokens, const ExpertTile& slots, bool is_down, int chunk,
                        bool fills) {
    const bool claims = threadIdx.x == 0 && chunks_.share(is_down).is_claimed(chunk);
    __syncthreads();
    const int next = claims ? chunks_.claim(is_down) : 0;
    if (fills) {
      tokens.fill(
          [&](int i) {
            const std::int64_t slot = groups_.slot(slots.first + i);
            return is_down ? args_.inner + slot * args_.down.cols
                           : args_.hidden_states + slot / args_.top_k * args_.gate.cols;
          },
          slots.count, [&] { stream_.ask(next_tile()); });
    }
    if (claims) chunks_.link(is_down, chunk, next);
    __syncthreads();
    stream_.ask(next_tile());
  }

  // The warp's next tile times the tokens of the slots.
  __device__ void multiply(const Tokens& tokens, const ExpertTile& slots, bool is_down, int row) {
    if (slots.count <= kSetTokens) return multiply_sets<1>(tokens, slots, is_down, row);
    multiply_sets<2>(tokens, slots, is_down, row);
  }
  template <int kSets>
  __device__ void multiply_sets(const Tokens& tokens, const ExpertTile& slots, bool is_down,
                                int row) {
    float sums[2][kSets] = {};
    stream_.template multiply<kSets>(
        is_down ? args_.down.units() : args_.gate.units(), next_tile(),
        [&](int set, int unit) { return tokens.load(set, unit); }, sums);
#pragma unroll
    for (int set = 0; set < kSets; ++set) {
      const int token = set * kSetTokens + lane() % 4;
      if (token >= slots.count) break;
      const std::int64_t slot = groups_.slot(slots.first + token);
      if (is_down) {
        float* to = args_.output + slot * args_.down.rows + row;
        to[0] = sums[0][set];
        to[kUnitRows] = sums[1][set];
      } else {
        // The upper rows of a tile are gate's, the lower ones up's.
        args_.inner[slot * args_.gate.rows + row] =
            quick_activate(args_.activation, sums[0][set]) * sums[1][set];
      }
    }
  }
  // Until all blocks have written their inner values.
  __device__ void meet() const {
    __syncthreads();
    if (threadIdx.x == 0) meet_blocks(args_.counters[0]);
    if (args_.scores.ranks != nullptr && threadIdx.x / 32 == kWarps - 1) {
      write_choices(args_.scores, args_.sizes.num_slots / args_.top_k, args_.top_k, args_.topk_ids,
                    args_.topk_weights);
    }
    __syncthreads();
  }

  const Int4Experts& args_;
  Stream stream_;
  char* token_memory_;
  ExpertMatrices* experts_;  // [E]
  BlockGroups groups_;
  // What the stream asks for next.
  struct Cursor {
    bool is_down;
    int chunk;
    bool is_here;  // else: after the chunk
  };
  Chunks chunks_;
  Cursor cursor_ = {};
};

}  // namespace m2::cuda
