// The experts with weights of any type, size and alignment; for small models and odd shapes.
#pragma once

#include "cuda/expert_groups.cuh"
#include "cuda/expert_tables.h"

namespace m2::cuda {

constexpr int kPlainTokens = 8;  // of a tile of slots

/// inner [T * K, I] = act(gate x) * up x.
void plain_gate_up(const MoeExpertsArgs& args, const ExpertGroupsView& groups,
                   const ExpertPointers* table, float* inner, Context& context);
/// down [T * K, H], one row for each slot.
void plain_down(const MoeExpertsArgs& args, const ExpertGroupsView& groups,
                const ExpertPointers* table, const float* inner, float* down, Context& context);

}  // namespace m2::cuda
