// What the operations of the CUDA backend share, and their entry points.
#pragma once

#include <map>
#include <span>

#include "cuda/expert_tables.h"
#include "cuda/runtime.h"
#include "cuda/sm90/prefill.h"
#include "ops/backend.h"

namespace m2::cuda {

/// The tokens of a batch by the expert that they go to, in device memory. A slot is one (token,
/// choice) pair, token * K + choice; a tile is up to kTileTokens slots of one expert.
struct ExpertGroups {
  Workspace sorted_slots;  // [T * K] i32: the slots of every expert side by side
  Workspace tiles;         // ExpertTile, as many as there can be
  Workspace num_tiles;     // [1] i32
};

/// The best of every piece of a row, [T, pieces, K], on their way to the best of the row.
struct TopScores {
  Workspace ranks[2];  // u32, of the last pass and of this one
  Workspace ids[2];    // i32
};

struct RouterScores;

struct Context {
  int num_sms = 0;
  bool overlaps_kernels = false;  // Hopper and later: see launch.cuh
  bool has_bulk_copies = false;   // likewise: see weight_ring.cuh; others take the plain kernels
  bool has_wgmma = false;         // Hopper: see sm90/
  int shared_bytes = 0;           // that a block may have
  Stream stream;
  ExpertTables expert_tables;
  ExpertGroups groups;
  Workspace expert_inner;        // [T * K, I] f32
  Workspace expert_down;         // [T * K, H] f32
  std::map<std::size_t, Workspace> marked_values;  // by their number: see marked_values.cuh
  Workspace attention_partials;  // see attention.cu
  Workspace attention_counters;
  Workspace widened;       // an int8 matrix as BF16
  Workspace router_ranks;  // see few_tokens_route.h
  Workspace router_scores;
  Workspace route_partials;  // [slices, T, E] f32: see tiled_route.cu
  Workspace unit_counters;   // see next_counter() in unit_counter.h
  std::size_t num_unit_launches = 0;
  TopScores top_scores;
  sm90::Prefill prefill;
};

void embedding(const EmbeddingArgs& args, Context& context);
void rms_norm(const RmsNormArgs& args, Context& context);
void linear(const LinearArgs& args, Context& context);
void linears(std::span<const LinearArgs> products, Context& context);
void norm_linears(const RmsNormArgs& norm, std::span<const LinearArgs> products, Context& context);
void qk_norm_rope(const QkNormRopeArgs& args, Context& context);
void qk_norm_rope_append(const QkNormRopeArgs& rotate, const KvAppendArgs& append,
                         Context& context);
void kv_append(const KvAppendArgs& args, Context& context);
void attention(const AttentionArgs& args, Context& context);
void attention_block(const AttentionBlockArgs& args, Context& context);
void uniform_noise(const UniformNoiseArgs& args, Context& context);
void moe_route(const MoeRouteArgs& args, Context& context);
void norm_route(const RmsNormArgs& norm, const MoeRouteArgs& route, Context& context);
/// Where `scores` is given, the experts are still to be chosen by it: topk_ids and topk_weights are
/// outputs, too.
void moe_experts(const MoeExpertsArgs& args, const RouterScores* scores, Context& context);
void moe_block(const MoeBlockArgs& args, Context& context);
void top_scores(const TopScoresArgs& args, Context& context);
void random_fill(const RandomFillArgs& args, Context& context);

}  // namespace m2::cuda
