// How the blocks of a launch share the tiles of rows of int4 experts.
//
// A chunk is a tile for each warp, all of one tile of slots. A block takes chunks side by side for
// most of its even share, then claims single ones: of a saturated memory some multiprocessors get
// 1.3 times as much as others (H200: equal shares of 64 tokens' gate and up end 217 to 302 us after
// the start).
#pragma once

#include "cuda/unit_counter.h"

namespace m2::cuda {

/// Chunks of gate and up, or of down, as a block has them.
struct ChunkShare {
  int row_tiles;  // of a tile of slots
  int per_slots;  // chunks of a tile of slots
  int num_chunks;
  int given;  // to all blocks; the others are claimed
  int begin;  // the block's own ones
  int end;
  int claimed;  // the first one after those

  [[nodiscard]] __device__ int first() const { return begin < end ? begin : claimed; }
  [[nodiscard]] __device__ bool has(int chunk) const { return chunk < num_chunks; }
  /// Whether a chunk was claimed, not given.
  [[nodiscard]] __device__ bool is_claimed(int chunk) const {
    return chunk < begin || chunk >= end;
  }
};

/// What follows the last claimed chunk, in a word: others look while one thread writes.
struct ChunkLink {
  static __device__ unsigned long long make(bool is_down, int from, int to) {
    return key(is_down, from) << 32U | static_cast<unsigned>(to);
  }
  static __device__ bool is_from(unsigned long long link, bool is_down, int from) {
    return link >> 32U == key(is_down, from);
  }
  static __device__ int to(unsigned long long link) { return static_cast<int>(link); }

 private:
  static __device__ unsigned long long key(bool is_down, int from) {
    return 2ULL * static_cast<unsigned>(from) + (is_down ? 1 : 0);
  }
};

template <int kWarps>
class Int4Chunks {
 public:
  static constexpr int kSharedBytes = 32;
  static constexpr int kUnknown = -1;

  __device__ explicit Int4Chunks(char* shared)
      : link_(reinterpret_cast<volatile unsigned long long*>(shared)),
        first_claims_(reinterpret_cast<int*>(shared + sizeof(*link_))) {}

  /// By all threads, before a barrier of the block and set_shares(). No other launch has the
  /// counters: the kernels before need not be awaited.
  __device__ void begin(UnitCounter* gate_up, UnitCounter* down) {
    gate_up_counter_ = gate_up;
    down_counter_ = down;
    if (threadIdx.x < 2) first_claims_[threadIdx.x] = atomicAdd(claims(threadIdx.x == 1), 1);
    if (threadIdx.x == 0) *link_ = kNoLink;
  }
  __device__ void set_shares(int num_slot_tiles, int gate_row_tiles, int down_row_tiles) {
    gate_up_ = make_share(num_slot_tiles, gate_row_tiles, 0);
    down_ = make_share(num_slot_tiles, down_row_tiles, 1);
  }

  /// By value: a choice of addresses would put both into local memory.
  [[nodiscard]] __device__ ChunkShare share(bool is_down) const {
    const auto choose = [&](int gate_up, int down) { return is_down ? down : gate_up; };
    return {
        choose(gate_up_.row_tiles, down_.row_tiles),   choose(gate_up_.per_slots, down_.per_slots),
        choose(gate_up_.num_chunks, down_.num_chunks), choose(gate_up_.given, down_.given),
        choose(gate_up_.begin, down_.begin),           choose(gate_up_.end, down_.end),
        choose(gate_up_.claimed, down_.claimed)};
  }
  /// What follows a chunk; kUnknown where that is still to be claimed.
  [[nodiscard]] __device__ int after(bool is_down, int chunk) const {
    const ChunkShare own = share(is_down);
    if (!own.is_claimed(chunk)) return chunk + 1 < own.end ? chunk + 1 : own.claimed;
    const unsigned long long link = *link_;
    return ChunkLink::is_from(link, is_down, chunk) ? ChunkLink::to(link) : kUnknown;
  }

  /// By one thread: claims what follows a claimed chunk; to be linked when the others do not look.
  __device__ int claim(bool is_down) const {
    return share(is_down).given + atomicAdd(claims(is_down), 1);
  }
  __device__ void link(bool is_down, int from, int to) const {
    *link_ = ChunkLink::make(is_down, from, to);
  }

  /// Where this warp has its tile of a chunk; at or beyond row_tiles: it has none.
  [[nodiscard]] __device__ static int row_tile(const ChunkShare& share, int chunk) {
    return chunk % share.per_slots * kWarps + static_cast<int>(threadIdx.x) / 32;
  }

 private:
  [[nodiscard]] __device__ int* claims(bool is_down) const {
    return &(is_down ? down_counter_ : gate_up_counter_)->claimed;
  }
  __device__ ChunkShare make_share(int num_slot_tiles, int row_tiles, int half) {
    constexpr float kGiven = 0.9F;  // of the even share
    const int per_slots = (row_tiles + kWarps - 1) / kWarps;
    const int num_chunks = num_slot_tiles * per_slots;
    const auto blocks = static_cast<int>(gridDim.x);
    const auto own = static_cast<int>(kGiven * static_cast<float>(num_chunks / blocks));
    const int begin = static_cast<int>(blockIdx.x) * own;
    const int given = own * blocks;
    return {
        row_tiles, per_slots, num_chunks, given, begin, begin + own, given + first_claims_[half]};
  }

  static constexpr unsigned long long kNoLink = ~0ULL;  // from no chunk

  volatile unsigned long long* link_;
  int* first_claims_;  // [2]
  UnitCounter* gate_up_counter_ = nullptr;
  UnitCounter* down_counter_ = nullptr;
  ChunkShare gate_up_ = {};
  ChunkShare down_ = {};
};

}  // namespace m2::cuda
