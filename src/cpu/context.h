// What the operations of the CPU backend share, and their entry points.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/lanes.h"
#include "ops/backend.h"

namespace m2::cpu {

/// The tokens of a batch by the expert that they go to. A slot is one (token, choice) pair.
struct ExpertGroups {
  std::vector<std::int32_t> active;          // experts that have tokens, ascending
  std::vector<std::int32_t> expert_offsets;  // [active + 1]: first slot of each
  std::vector<std::int32_t> slot_tokens;     // [T * K]: the token of every slot
  std::vector<std::int32_t> token_slots;     // [T, K]: the slot of every choice
  std::vector<std::int32_t> counts;          // [E], scratch
};

/// Activations for weights in block formats.
class QuantizedRows {
 public:
  /// Room for rows of `cols`; what was there before is lost.
  QuantizedGroup* reserve(std::int64_t num_rows, std::int64_t cols) {
    constexpr std::int64_t kFloats = sizeof(QuantizedGroup) / sizeof(float);
    groups_ = reinterpret_cast<QuantizedGroup*>(
        buffer_.floats(num_rows * quantized_groups(cols) * kFloats));
    return groups_;
  }
  [[nodiscard]] QuantizedGroup* groups() const { return groups_; }  // [rows, groups of a row]

 private:
  Buffer buffer_;
  QuantizedGroup* groups_ = nullptr;
};

/// The same for many tokens.
class PackedTokens {
 public:
  /// Room for tokens of `cols`; what was there before is lost.
  void reserve(std::int64_t num_tokens, std::int64_t cols) {
    token_bytes_ = token_tile_bytes(cols);
    constexpr std::int64_t kFloat = sizeof(float);
    bytes_ = reinterpret_cast<std::uint8_t*>(buffer_.floats(num_tokens * token_bytes_ / kFloat));
  }
  /// Where a pass begins.
  [[nodiscard]] std::uint8_t* pass(std::int64_t first_token) const {
    return bytes_ + first_token * token_bytes_;
  }

 private:
  Buffer buffer_;
  std::uint8_t* bytes_ = nullptr;
  std::int64_t token_bytes_ = 0;
};

/// Some query rows of a sequence that share a KV head and hence read the same keys. Row r is query
/// r / G of the sequence and head r % G of the group, G = Nq / Nkv.
struct AttentionTile {
  std::int64_t sequence = 0;
  std::int64_t kv_head = 0;
  std::int64_t first_row = 0;
  std::int64_t num_rows = 0;
  std::int64_t begin_key = 0;  // the keys [begin_key, end_key) hold all that a row sees
  std::int64_t end_key = 0;
  std::int64_t num_chunks = 0;  // that hold them
  std::int64_t first_pair = 0;  // in the list of all (tile, chunk) pairs
};

struct Context {
  Context(const Kernels& table, int num_threads, std::span<const int> cpus)
      : kernels(table), lanes(num_threads, cpus) {}

  const Kernels& kernels;
  Lanes lanes;
  // Kept between calls for their memory only.
  QuantizedRows quantized_input;
  PackedTokens packed_input;
  ExpertGroups groups;
  Buffer expert_inner;            // [T * K, I] in slot order
  QuantizedRows quantized_inner;  // the same
  PackedTokens packed_inner;      // the same
  std::vector<AttentionTile> tiles;
  std::vector<std::int64_t> chunk_tiles;  // the tile of every (tile, chunk) pair
  Buffer attention_partials;
};

void embedding(const EmbeddingArgs& args, Context& context);
void rms_norm(const RmsNormArgs& args, Context& context);
void linears(std::span<const LinearArgs> products, Context& context);
void qk_norm_rope(const QkNormRopeArgs& args, Context& context);
void kv_append(const KvAppendArgs& args, Context& context);
void attention(const AttentionArgs& args, Context& context);
void uniform_noise(const UniformNoiseArgs& args, Context& context);
void moe_route(const MoeRouteArgs& args, Context& context);
void moe_experts(const MoeExpertsArgs& args, Context& context);
void top_scores(const TopScoresArgs& args, Context& context);
void random_fill(const RandomFillArgs& args, Context& context);

/// Whether products with the weight take quantised activations: it is in a block format.
[[nodiscard]] bool takes_codes(const WeightView& weight);
/// Whether they take these in tiles.
[[nodiscard]] bool takes_tiles(const WeightView& weight, std::int64_t num_tokens);

/// Rows of the input [T, K] f32 into context.quantized_input, on all threads where it is worth it.
void quantize_input(const TensorView& input, Context& context);

/// Rows of a weight that one task should have: powers of two.
struct TaskRows {
  std::int64_t least = 0;
  std::int64_t most = 0;
};
/// The least fits the usual scale blocks and whole strips; with it, packing the activations, once a
/// task, is cheap.
[[nodiscard]] TaskRows task_rows(const WeightView& weight);
/// Within the limits, and enough tasks for all threads.
[[nodiscard]] std::int64_t rows_per_task(std::int64_t rows, TaskRows limits, const Lanes& lanes);

}  // namespace m2::cpu
