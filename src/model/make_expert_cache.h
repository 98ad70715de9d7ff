// Whether a model gets an expert cache, and of what size.
#pragma once

#include <memory>
#include <string>

#include "model/expert_cache.h"
#include "model/placement.h"

namespace m2 {

/// `size`: "auto", "0" (none) or a size as in parse_byte_size. "auto" makes a cache only where what
/// the processor computes with does not fit into nine tenths of the free memory, and leaves a
/// quarter of that to everything else. Null where there is none. Throws kInvalidArgument.
std::shared_ptr<ExpertCache> make_expert_cache(const ModelWeights& weights,
                                               const Placement& placement, const std::string& size,
                                               std::shared_ptr<const Checkpoint> checkpoint);

}  // namespace m2
