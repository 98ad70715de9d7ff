#include "model/blocks_in_use.h"

#include <set>

namespace m2 {
namespace {

std::vector<BlockRun> runs_of(const std::set<std::int32_t>& blocks) {
  std::vector<BlockRun> runs;
  for (const std::int32_t block : blocks) {
    if (!runs.empty() && runs.back().first + runs.back().count == block) {
      ++runs.back().count;
    } else {
      runs.push_back({block, 1});
    }
  }
  return runs;
}

}  // namespace

BlocksInUse blocks_in_use(const Batch& batch, std::int32_t block_size) {
  std::set<std::int32_t> read;
  std::set<std::int32_t> written;
  const std::int32_t* table = batch.block_tables.data();
  for (const std::int32_t context_len : batch.context_lens) {
    read.insert(table, table + SequenceBlocks::blocks_for(context_len, block_size));
    table += batch.max_blocks;
  }
  for (const std::int64_t slot : batch.slot_mapping) {
    written.insert(static_cast<std::int32_t>(slot / block_size));
  }
  return {runs_of(read), runs_of(written)};
}

}  // namespace m2
