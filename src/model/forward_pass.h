// What the parts of MiniMaxM2::forward share.
#pragma once

#include "base/philox.h"
#include "model/blocks_in_use.h"
#include "model/minimax_m2.h"

namespace m2 {

struct MiniMaxM2::Pass {
  const Batch& batch;
  KvCache& kv_cache;
  const ForwardOptions& options;
  BlocksInUse blocks;  // of an offloaded cache
  Stage* stage;        // where the residual stream is
  std::size_t num_layers;
  std::int64_t max_context_len;  // of the batch or more

  // A seed of its own for every layer and purpose.
  [[nodiscard]] std::uint64_t dropout_seed(std::size_t layer) const {
    return derive_seed(*options.training_seed, 2 * layer);
  }
  [[nodiscard]] std::uint64_t jitter_seed(std::size_t layer) const {
    return derive_seed(*options.training_seed, 2 * layer + 1);
  }
};

}  // namespace m2
