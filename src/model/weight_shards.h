// How the tensors of a model are divided into files, and the index that says so.
#pragma once

#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "m2/config.h"
#include "model/save_weights.h"
#include "model/saved_tensors.h"

namespace m2 {

struct WeightShard {
  std::string file;
  std::vector<const SavedTensor*> tensors;
};

/// In order, as the reference fills shards: a storage larger than the limit is alone in its own.
/// The tensors must outlive the shards.
std::vector<WeightShard> plan_shards(const std::vector<SavedTensor>& tensors,
                                     const SaveWeightsOptions& options);

/// "model" or "model.variant", with which names of shards begin.
std::string shard_stem(const SaveWeightsOptions& options);
std::string shard_index_name(const SaveWeightsOptions& options);
/// The text of the index file, which sets of more than one file have.
std::string shard_index_text(const MiniMaxM2Config& config, const std::vector<WeightShard>& shards,
                             const SaveWeightsOptions& options);

/// Writes and finishes the file; the caller commits it.
void write_shard(const WeightShard& shard, AtomicFile& file);

}  // namespace m2
