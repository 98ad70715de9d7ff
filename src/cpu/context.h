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
  ExpertGroups groups;
  Buffer expert_inner;
  std::vector<AttentionTile> tiles;
  std::vector<std::int64_t> chunk_tiles;  // the tile of every (tile, chunk) pair
  Buffer attention_partials;
};

void embedding(const EmbeddingArgs& args, Context& context);
void rms_norm(const RmsNormArgs& args, Context& context);
void linear(const LinearArgs& args, Context& context);
void qk_norm_rope(const QkNormRopeArgs& args, Context& context);
void kv_append(const KvAppendArgs& args, Context& context);
void attention(const AttentionArgs& args, Context& context);
void uniform_noise(const UniformNoiseArgs& args, Context& context);
void moe_route(const MoeRouteArgs& args, Context& context);
void moe_experts(const MoeExpertsArgs& args, Context& context);
void random_fill(const RandomFillArgs& args, Context& context);

/// Rows of a weight for one task: enough tasks for all threads, a power of two that fits the usual
/// scale blocks, and large enough that packing the activations for them (once a task) is cheap.
[[nodiscard]] std::int64_t rows_per_task(std::int64_t rows, const Lanes& lanes);

}  // namespace m2::cpu
