// Weight rows for a few tokens on their way from memory: a ring of stages in a block's shared
// memory.
//
// A stage is a tile of eight neighbouring rows, or two of them, over up to 3,072 bytes of their
// columns. Where that is all of their columns it is one bulk copy, else one for each row. One warp
// asks for stages, as far ahead as the ring allows; twelve others multiply, each one or two pieces
// of 128 bytes of every row. The rows of a stage meet the same banks, so lanes of odd rows read the
// halves of a piece in the other order.
//
// Blocks claim units of rows as they go: one that starts late, because its multiprocessor was still
// busy with the kernel before, takes fewer (measured on an H100: equal shares end 4 to 8 us apart).
#pragma once

#include "cuda/weight_ring.cuh"

namespace m2::cuda {

constexpr int kTileOfRows = 8;
constexpr int kRowThreads = 32 * (kStreamWarps + 1);
constexpr int kWidestStage = 2 * kStageRowBytes;  // bytes of a row
constexpr int kStagePieces = kWidestStage / kPieceBytes;
constexpr int kPiecesOfWarp = kStagePieces / kStreamWarps;  // in a stage

/// Pieces of a row that a warp multiplies: 1, 2 or 4; 0 where rows are wider.
inline int pieces_of_warp(const StreamShape& shape) {
  const int pieces = (shape.row_bytes + kStageRowBytes - 1) / kStageRowBytes;
  return pieces <= 2 ? pieces : pieces <= 4 ? 4 : 0;
}

/// Calls body(integral_constant) of 1, 2 or 4.
template <typename Body>
void for_pieces(int pieces, const Body& body) {
  if (pieces == 1) return body(std::integral_constant<int, 1>());
  if (pieces == 2) return body(std::integral_constant<int, 2>());
  body(std::integral_constant<int, 4>());
}

/// What one stage copies.
struct RowStage {
  const char* data;
  const float* scale;  // F8 only
  int rows;            // up to two tiles
  int width;           // bytes of each
};

/// Width of stage `stage` of a row.
__device__ inline int stage_width(const StreamShape& shape, int stage) {
  return min(kWidestStage, shape.row_bytes - stage * kWidestStage);
}

/// `rows` rows from `first_row` on, fewer at the end of the matrix.
__device__ inline RowStage row_stage(const StreamShape& shape, const void* data, const float* scale,
                                     int first_row, int rows, int stage) {
  return {static_cast<const char*>(data) + std::int64_t{first_row} * shape.row_bytes +
              stage * kWidestStage,
          scale + first_row / shape.block_rows * shape.scale_cols + stage * kStagePieces,
          min(rows, shape.rows - first_row), stage_width(shape, stage)};
}

/// What the blocks of a launch share: zero before and after. Launches that may overlap have
/// different ones.
struct UnitCounter {
  int claimed;
  int done;  // blocks
};

/// How the blocks of a launch share its units: each takes chunks side by side for most of its even
/// share, then claims single ones.
struct UnitShares {
  UnitCounter* counter;
  int chunk;  // units
  float own;  // part of the even share

  /// Chunks of a block before it claims others.
  [[nodiscard]] __device__ int own_chunks(int num_units) const {
    const int chunks = (num_units + chunk - 1) / chunk;
    return max(1, static_cast<int>(own * static_cast<float>(chunks / static_cast<int>(gridDim.x))));
  }
};

/// Eight rows' share of a piece as a lane multiplies it: row lane / 4.
struct RowPiece {
  uint4 vectors[2];
  float scale;
};

/// Copies of the ring's state are at different stages in the asking warp and in the others.
template <DType kType>
class RowRing {
 public:
  static constexpr bool kScaled = kType == DType::kF8E4M3;
  static constexpr int kMaxSlots = 16;
  static constexpr int kAlignment = 128;
  static constexpr int kBarrierBytes = 2 * kMaxSlots * 8;
  static_assert(kBarrierBytes % kAlignment == 0);

  /// Of a slot for stages of up to `rows` rows of `width` bytes.
  __host__ __device__ static constexpr int slot_bytes(int rows, int width) {
    return rows * width + kAlignment;  // the rest: scales, then the unit
  }
  __host__ __device__ static constexpr int num_bytes(int slots, int bytes_of_slot) {
    return kAlignment + kBarrierBytes + slots * bytes_of_slot;
  }

  /// `shared` [num_bytes(slots, slot_bytes)]; then a barrier of the block.
  __device__ RowRing(const void* shared, int slots, int slot_bytes)
      : barriers_((shared_address(shared) + kAlignment - 1) / kAlignment * kAlignment),
        slots_(slots),
        slot_bytes_(slot_bytes) {
    if (threadIdx.x != 0) return;
    for (int i = 0; i < slots; ++i) {
      init_barrier(barriers_ + i * 16, 1);
      init_barrier(barriers_ + i * 16 + 8, kStreamWarps);
    }
    fence_barriers();
  }

  /// By the asking warp: asks for all stages of the block's units. Source: prepare(unit) looks up
  /// what the stages of the chunk from `unit` on need, ahead of their turn; stage_of(prepared,
  /// unit, i) is stage i of a unit.
  template <typename Source>
  __device__ void ask(const UnitShares& shares, int num_units, int num_stages, int row_bytes,
                      const Source& source) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int own = shares.own_chunks(num_units);
    const auto chunk_at = [&](int i) {  // what lane 0 finds counts
      if (i < own) return static_cast<int>(blockIdx.x) * own + i;
      const int claimed = lane == 0 ? atomicAdd(&shares.counter->claimed, 1) : 0;
      return static_cast<int>(gridDim.x) * own + claimed;
    };
    const auto prepare = [&](int chunk) {
      return source.prepare(max(0, min(chunk * shares.chunk, num_units - 1)));
    };
    const auto push_chunk = [&](int chunk, auto& prepared) {
      const int end = min((chunk + 1) * shares.chunk, num_units);
      for (int unit = chunk * shares.chunk; unit < end; ++unit) {
        for (int stage = 0; stage < num_stages; ++stage) {
          push(source.stage_of(prepared, unit, stage), row_bytes, unit);
          advance();
        }
      }
    };
    // Two chunks are on their way while one is asked for: one to look up, one to claim.
    const int second = chunk_at(1);
    const int third = chunk_at(2);
    const int first = static_cast<int>(blockIdx.x) * own;
    auto prepared = prepare(first);
    push_chunk(first, prepared);
    int chunk = __shfl_sync(kAllLanes, second, 0);
    int next = __shfl_sync(kAllLanes, third, 0);
    prepared = prepare(chunk);
    for (int i = 3; chunk * shares.chunk < num_units; ++i) {
      const int after = next * shares.chunk < num_units ? chunk_at(i) : next;
      auto prepared_next = prepare(next);
      push_chunk(chunk, prepared);
      chunk = next;
      next = __shfl_sync(kAllLanes, after, 0);
      prepared = prepared_next;
    }
    await_phase(empty(), parity_ ^ 1);
    if (lane != 0) return;
    store_unit(-1);
    arrive(full());
    const auto blocks = static_cast<int>(gridDim.x);
    if (atomicAdd(&shares.counter->done, 1) == blocks - 1) *shares.counter = {0, 0};
  }

  /// By each of the other warps: the unit of the next stage, -1 after the last.
  [[nodiscard]] __device__ int next_unit() const {
    await_phase(full(), parity_);
    int unit;
    asm volatile("ld.shared.s32 %0, [%1];" : "=r"(unit) : "r"(unit_address()) : "memory");
    return unit;
  }

  /// By each of the other warps: waits for the next stage, calls use(slot) and gives it back.
  template <typename Use>
  __device__ void pop(const Use& use) {
    await_phase(full(), parity_);
    use(slot());
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(empty());
    advance();
  }

  /// Piece `piece` of tile `tile` of a stage in `slot`.
  __device__ RowPiece load(std::uint32_t slot, int width, int tile, int piece) const {
    const int row = static_cast<int>(threadIdx.x) % 32 / 4;
    const bool odd = row % 2 != 0;
    const std::uint32_t from = slot + (tile * kTileOfRows + row) * width + piece * kPieceBytes +
                               threadIdx.x % 4 * 16 + (odd ? 64 : 0);
    const uint4 first = load_shared(from);
    const uint4 second = load_shared(odd ? from - 64 : from + 64);
    RowPiece result = {{choose(odd, second, first), choose(odd, first, second)}, 1.0F};
    if constexpr (kScaled) {
      asm volatile("ld.shared.f32 %0, [%1];"
                   : "=f"(result.scale)
                   : "r"(slot + slot_bytes_ - kAlignment + piece * 4)
                   : "memory");
    }
    return result;
  }

 private:
  [[nodiscard]] __device__ std::uint32_t full() const { return barriers_ + index_ * 16; }
  [[nodiscard]] __device__ std::uint32_t empty() const { return full() + 8; }
  [[nodiscard]] __device__ std::uint32_t slot() const {
    return barriers_ + kBarrierBytes + index_ * slot_bytes_;
  }

  __device__ static uint4 choose(bool first, const uint4& a, const uint4& b) {
    return {first ? a.x : b.x, first ? a.y : b.y, first ? a.z : b.z, first ? a.w : b.w};
  }

  [[nodiscard]] __device__ std::uint32_t unit_address() const { return slot() + slot_bytes_ - 16; }
  __device__ void store_unit(int unit) const {
    asm volatile("st.shared.s32 [%0], %1;" ::"r"(unit_address()), "r"(unit) : "memory");
  }

  __device__ void push(const RowStage& stage, int row_bytes, int unit) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    await_phase(empty(), parity_ ^ 1);
    const int scale_bytes =
        kScaled ? stage.width / kPieceBytes * static_cast<int>(sizeof(float)) : 0;
    if (lane == 0) {
      store_unit(unit);
      arrive_expecting(full(), stage.rows * stage.width + scale_bytes);
    }
    __syncwarp();
    if (stage.width == row_bytes) {
      if (lane == 0) copy_bulk(slot(), stage.data, stage.rows * stage.width, full());
    } else if (lane < stage.rows) {
      copy_bulk(slot() + lane * stage.width, stage.data + std::int64_t{lane} * row_bytes,
                stage.width, full());
    }
    if (kScaled && lane == 0) {
      copy_bulk(slot() + slot_bytes_ - kAlignment, stage.scale, scale_bytes, full());
    }
  }

  __device__ void advance() {
    if (++index_ < slots_) return;
    index_ = 0;
    parity_ ^= 1;
  }

  std::uint32_t barriers_;  // full and empty of each slot
  int slots_;
  int slot_bytes_;
  int index_ = 0;
  int parity_ = 0;
};

}  // namespace m2::cuda
