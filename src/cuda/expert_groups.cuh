// Sorts the tokens of a batch by the expert that they go to.
#pragma once

#include <cstdint>

#include "cuda/context.h"
#include "ops/moe_experts.h"

namespace m2::cuda {

/// Up to `tokens_per_tile` slots of one expert; they share one reading of its weights.
struct ExpertTile {
  std::int32_t expert;
  std::int32_t first;  // in sorted_slots
  std::int32_t count;
};

/// The grouping as kernels see it. A batch of one token needs none: its slots are the tiles.
struct ExpertGroupsView {
  const ExpertTile* tiles;           // absent for one token
  const std::int32_t* num_tiles;     // [1]
  const std::int32_t* sorted_slots;  // [T * K]
  std::int32_t* topk_ids;            // [T, K]
  std::int32_t max_tiles;            // how many there can be

  [[nodiscard]] __device__ int count() const { return tiles == nullptr ? max_tiles : *num_tiles; }

  /// Tile `index`; its count is 0 beyond the last one.
  __device__ ExpertTile tile(int index) const {
    if (tiles == nullptr) return {topk_ids[index], index, 1};
    if (index >= *num_tiles) return {0, 0, 0};
    return tiles[index];
  }
  __device__ std::int32_t slot(int index) const {
    return tiles == nullptr ? index : sorted_slots[index];
  }
};

/// Groups by the device's topk_ids; the view is valid until the next call.
[[nodiscard]] ExpertGroupsView group_by_expert(const MoeExpertsArgs& args, int tokens_per_tile,
                                               Context& context);

}  // namespace m2::cuda
