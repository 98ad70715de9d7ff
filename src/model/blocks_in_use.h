// Which blocks of the KV cache a forward pass touches.
#pragma once

#include <cstdint>
#include <vector>

#include "model/batch.h"
#include "model/kv_cache.h"

namespace m2 {

/// Ascending runs, no block twice, as few as there can be.
struct BlocksInUse {
  std::vector<BlockRun> read;     // of all sequences; those written are among them
  std::vector<BlockRun> written;  // of the new tokens
};

[[nodiscard]] BlocksInUse blocks_in_use(const Batch& batch, std::int32_t block_size);

}  // namespace m2
