// Weights of one token's experts on their way through a block, and the sums of its warps.
//
// One warp asks for stages, as far ahead as the ring allows. Teams of the warps that multiply take
// stages in turns: each waits for its next one, gives it back, and leaves its sums in one of a few
// buffers; the warp that adds takes all of a buffer together.
#pragma once

#include "cuda/bulk_copy.cuh"

namespace m2::cuda {

/// kStage: what a stage holds, 16 bytes. A warp leaves kFloatCount floats.
template <typename kStage, int kWarps, int kTeamCount, int kMostSlots, int kBuffers,
          int kFloatCount = 16>
class OneTokenRing {
 public:
  using Stage = kStage;
  static constexpr int kTeams = kTeamCount;
  static constexpr int kTeamWarps = kWarps / kTeams;
  static constexpr int kFloats = kFloatCount;

  __host__ __device__ static constexpr int num_bytes(int slots, int slot_bytes) {
    return kSlotsAt + slots * slot_bytes;
  }

  /// `shared` [num_bytes(slots, slot_bytes)], it and slots aligned to 128 bytes; then a barrier of
  /// the block.
  __device__ OneTokenRing(char* shared, int slots, int slot_bytes)
      : barriers_(shared_address(shared)),
        stages_(reinterpret_cast<Stage*>(shared + kBarrierBytes)),
        buffers_(shared + kBuffersAt),
        slots_(shared_address(shared) + kSlotsAt),
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

  /// By the asking warp: the next stage; issue(slot, barrier), by all lanes, starts copies of
  /// `num_bytes` in all.
  template <typename Issue>
  __device__ void push(const Stage& stage, int num_bytes, const Issue& issue) {
    await_phase(empty(slot_), parity_ ^ 1);
    send(stage, num_bytes, issue);
  }
  /// The same, with at most `in_flight` stages on their way.
  template <typename Issue>
  __device__ void push(const Stage& stage, int num_bytes, int in_flight, const Issue& issue) {
    await_phase(empty(slot_), parity_ ^ 1);
    if (++pushed_ > in_flight) {
      const int before = slot_ - in_flight;
      await_phase(full(before < 0 ? before + num_slots_ : before),
                  before < 0 ? parity_ ^ 1 : parity_);
    }
    send(stage, num_bytes, issue);
  }
  /// A stage without weights.
  __device__ void push_none(const Stage& stage) {
    push(stage, 0, [](std::uint32_t, std::uint32_t) {});
  }

  /// By each warp that multiplies, before its first stage, if there are several teams.
  __device__ void join_team() {
    advance(warp() % kTeams);
    advance_buffer(warp() % kTeams);
  }
  /// The next stage, when it is there.
  [[nodiscard]] __device__ Stage wait() const {
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
  __device__ void leave(const Stage& stage, const Store& store) {
    await_phase(taken(buffer_), buffer_parity_ ^ 1);
    char* buffer = buffers_ + buffer_ * kBufferBytes;
    store(reinterpret_cast<float*>(buffer + kInfoBytes) + warp() / kTeams * kFloats);
    if (warp() < kTeams && lane() == 0) *reinterpret_cast<Stage*>(buffer) = stage;
    __syncwarp();
    if (lane() == 0) arrive(left(buffer_));
    advance_buffer(kTeams);
  }
  /// By the adding warp: add(stage, sums [warps of a team, kFloats]) when all have left theirs.
  template <typename Add>
  __device__ void take(const Add& add) {
    await_phase(left(buffer_), buffer_parity_);
    const char* buffer = buffers_ + buffer_ * kBufferBytes;
    add(*reinterpret_cast<const Stage*>(buffer),
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
  static constexpr int kInfoBytes = 16;
  static_assert(sizeof(Stage) == kInfoBytes);
  static constexpr int kBufferBytes =
      kInfoBytes + kTeamWarps * kFloats * static_cast<int>(sizeof(float));
  static constexpr int kBarrierBytes = 2 * (kMostSlots + kBuffers) * 8;
  static constexpr int kBuffersAt = kBarrierBytes + kMostSlots * kInfoBytes;
  // Copies into slots that do not start at a line of 128 bytes are slower (H200, one token's
  // experts in F8: 33.2 instead of 32.0 us).
  static constexpr int kSlotsAt = (kBuffersAt + kBuffers * kBufferBytes + 127) / 128 * 128;

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  [[nodiscard]] __device__ std::uint32_t full(int i) const { return barriers_ + i * 16; }
  [[nodiscard]] __device__ std::uint32_t empty(int i) const { return full(i) + 8; }
  [[nodiscard]] __device__ std::uint32_t left(int i) const { return full(kMostSlots + i); }
  [[nodiscard]] __device__ std::uint32_t taken(int i) const { return left(i) + 8; }

  template <typename Issue>
  __device__ void send(const Stage& stage, int num_bytes, const Issue& issue) {
    if (lane() == 0) {
      stages_[slot_] = stage;
      arrive_expecting(full(slot_), num_bytes);
    }
    __syncwarp();
    issue(slot(), full(slot_));
    advance(1);
  }
  __device__ void advance(int stages) {
    slot_ += stages;
    if (slot_ < num_slots_) return;
    slot_ = kTeams == 1 ? 0 : slot_ - num_slots_;
    parity_ ^= 1;
  }
  __device__ void advance_buffer(int buffers) {
    buffer_ += buffers;
    if (buffer_ < kBuffers) return;
    buffer_ = kTeams == 1 ? 0 : buffer_ - kBuffers;
    buffer_parity_ ^= 1;
  }

  std::uint32_t barriers_;  // of slots, then of buffers: two each
  Stage* stages_;           // [kMostSlots]
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
