// Weights of one token's experts on their way through a block, and the sums of its warps.
//
// A stage comes by one or two bulk copies side by side in its slot. A warp that multiplies waits
// for it and gives it back; of gate and up it leaves its sums in one of a few buffers, and the warp
// that adds takes all of a buffer together.
#pragma once

#include "cuda/int4_stream.cuh"

namespace m2::cuda {

enum class StageKind : int { kGateUp, kDown, kRowsEnd };

/// What a stage holds.
struct OneTokenStage {
  StageKind kind;
  int index;  // of gate and up: the tile, -1 without weights; of down: the choice
  int done;   // of gate and up: so many choices have no other tile in this block after it
  int last;   // of gate and up or of all
};

/// What a block's warps tell each other of a token's choices, once.
class ChoiceBarriers {
 public:
  static constexpr int kMaxChoices = 32;
  static constexpr int kBytes = 2 * kMaxChoices * 8;

  /// `shared` [kBytes], aligned to 8 bytes; then a barrier of the block. `helpers` bring each
  /// choice.
  __device__ ChoiceBarriers(const char* shared, int count, int helpers)
      : barriers_(shared_address(shared)) {
    if (threadIdx.x != 0) return;
    for (int choice = 0; choice < count; ++choice) {
      init_barrier(ready(choice), helpers);
      init_barrier(written(choice), 1);
    }
    fence_barriers();
  }

  /// The block has written its inner values of the choice.
  __device__ void set_written(int choice) const { arrive(written(choice)); }
  __device__ void await_written(int choice) const { await_phase(written(choice), 0); }
  /// Everybody's are there as operands.
  __device__ void add_ready(int choice) const { arrive(ready(choice)); }
  __device__ void await_ready(int choice) const { await_phase(ready(choice), 0); }

 private:
  [[nodiscard]] __device__ std::uint32_t ready(int choice) const { return barriers_ + choice * 16; }
  [[nodiscard]] __device__ std::uint32_t written(int choice) const { return ready(choice) + 8; }

  std::uint32_t barriers_;
};

/// Teams of warps take stages in turns.
template <int kWarps, int kTeamCount>
class OneTokenRing {
 public:
  static constexpr int kTeams = kTeamCount;
  static constexpr int kMaxSlots = 16;
  static constexpr int kTeamWarps = kWarps / kTeams;
  static constexpr int kFloats = 16;  // that a warp leaves

  __host__ __device__ static int num_bytes(int slots, int slot_bytes) {
    return kHeadBytes + slots * slot_bytes;
  }

  /// `shared` [num_bytes(slots, slot_bytes)], aligned to 16 bytes; then a barrier of the block.
  __device__ OneTokenRing(char* shared, int slots, int slot_bytes)
      : barriers_(shared_address(shared)),
        stages_(reinterpret_cast<OneTokenStage*>(shared + kBarrierBytes)),
        buffers_(shared + kBarrierBytes + kStageBytes),
        slots_(shared_address(shared) + kHeadBytes),
        num_slots_(slots),
        slot_bytes_(slot_bytes) {
    if (threadIdx.x != 0) return;
    for (int i = 0; i < slots; ++i) {
      init_barrier(full(i), 1);
      init_barrier(empty(i), kTeamWarps);
    }
    for (int i = 0; i < kBuffers; ++i) {
      init_barrier(left(i), kTeamWarps);
      init_barrier(taken(i), 1);
    }
    fence_barriers();
  }

  /// By the asking warp: the next stage; lane i < `copies` has the source of the i-th `bytes`. At
  /// most `in_flight` stages are on their way.
  __device__ void push(const OneTokenStage& stage, int copies, const char* source, int bytes,
                       int in_flight) {
    await_phase(empty(slot_), parity_ ^ 1);
    if (++pushed_ > in_flight) {
      const int before = slot_ - in_flight;
      await_phase(full(before < 0 ? before + num_slots_ : before),
                  before < 0 ? parity_ ^ 1 : parity_);
    }
    if (lane() == 0) {
      stages_[slot_] = stage;
      arrive_expecting(full(slot_), copies * bytes);
    }
    __syncwarp();
    if (lane() < copies) copy_bulk(slot() + lane() * bytes, source, bytes, full(slot_));
    advance(1);
  }
  /// A stage without weights.
  __device__ void push(const OneTokenStage& stage) { push(stage, 0, nullptr, 0, num_slots_); }

  /// By each warp that multiplies, before its first stage.
  __device__ void join_team() {
    advance(warp() % kTeams);
    advance_buffer(warp() % kTeams);
  }
  /// The next stage, when it is there.
  [[nodiscard]] __device__ OneTokenStage wait() const {
    await_phase(full(slot_), parity_);
    return stages_[slot_];
  }
  /// Where it lies.
  [[nodiscard]] __device__ std::uint32_t slot() const { return slots_ + slot_ * slot_bytes_; }
  __device__ void release() {
    __syncwarp();
    if (lane() == 0) arrive(empty(slot_));
    advance(kTeams);
  }

  /// By each warp that multiplies: store(to [kFloats]) its sums.
  template <typename Store>
  __device__ void leave(const OneTokenStage& stage, const Store& store) {
    await_phase(taken(buffer_), buffer_parity_ ^ 1);
    char* buffer = buffers_ + buffer_ * kBufferBytes;
    store(reinterpret_cast<float*>(buffer + kInfoBytes) + warp() / kTeams * kFloats);
    if (warp() < kTeams && lane() == 0) *reinterpret_cast<OneTokenStage*>(buffer) = stage;
    __syncwarp();
    if (lane() == 0) arrive(left(buffer_));
    advance_buffer(kTeams);
  }
  /// By the adding warp: add(stage, sums [warps, kFloats]) when all have left theirs.
  template <typename Add>
  __device__ void take(const Add& add) {
    await_phase(left(buffer_), buffer_parity_);
    const char* buffer = buffers_ + buffer_ * kBufferBytes;
    add(*reinterpret_cast<const OneTokenStage*>(buffer),
        reinterpret_cast<const float*>(buffer + kInfoBytes));
    __syncwarp();
    if (lane() == 0) arrive(taken(buffer_));
    advance_buffer(1);
  }
  /// Number `index` of the floats, over the warps in their order.
  [[nodiscard]] __device__ static float total(const float* sums, int index) {
    float result = 0.0F;
#pragma unroll
    for (int i = 0; i < kTeamWarps; ++i) result += sums[i * kFloats + index];
    return result;
  }

 private:
  static constexpr int kBuffers = 6;
  static constexpr int kInfoBytes = sizeof(OneTokenStage);
  static constexpr int kBufferBytes =
      kInfoBytes + kTeamWarps * kFloats * static_cast<int>(sizeof(float));
  static constexpr int kBarrierBytes = 2 * (kMaxSlots + kBuffers) * 8;
  static constexpr int kStageBytes = kMaxSlots * static_cast<int>(sizeof(OneTokenStage));
  static constexpr int kHeadBytes =
      (kBarrierBytes + kStageBytes + kBuffers * kBufferBytes + 127) / 128 * 128;

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  [[nodiscard]] __device__ std::uint32_t full(int i) const { return barriers_ + i * 16; }
  [[nodiscard]] __device__ std::uint32_t empty(int i) const { return full(i) + 8; }
  [[nodiscard]] __device__ std::uint32_t left(int i) const { return full(kMaxSlots + i); }
  [[nodiscard]] __device__ std::uint32_t taken(int i) const { return left(i) + 8; }
  __device__ void advance(int stages) {
    slot_ += stages;
    if (slot_ < num_slots_) return;
    slot_ -= num_slots_;
    parity_ ^= 1;
  }
  __device__ void advance_buffer(int buffers) {
    buffer_ += buffers;
    if (buffer_ < kBuffers) return;
    buffer_ -= kBuffers;
    buffer_parity_ ^= 1;
  }

  std::uint32_t barriers_;  // of slots, then of buffers: two each
  OneTokenStage* stages_;   // [kMaxSlots]
  char* buffers_;
  std::uint32_t slots_;
  int num_slots_;
  int slot_bytes_;
  int slot_ = 0;
  int parity_ = 0;
  int buffer_ = 0;
  int buffer_parity_ = 0;
  int pushed_ = 0;
};

}  // namespace m2::cuda
