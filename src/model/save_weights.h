// Weights to safetensors files, as transformers writes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "m2/config.h"
#include "model/weights.h"

namespace m2 {

struct SaveWeightsOptions {
  std::int64_t max_shard_bytes = 50'000'000'000;
  std::string variant;
  bool hub_names = true;  ///< false: internal names, the experts of a layer in two tensors
  bool head = true;       ///< false: the bare model, without "model." before its names
};

/// Writes model.safetensors, or numbered shards and their index, into an existing directory; files
/// of an earlier set that are not part of the new one are removed. Tensors have their logical types
/// and are written from where they lie, so nothing is copied. All files are written under temporary
/// names first: until they are complete, the old set stays what it was. The directory may be the
/// one that the weights are mapped from.
void save_weights(const MiniMaxM2Config& config, const ModelWeights& weights,
                  const std::filesystem::path& directory, const SaveWeightsOptions& options = {});

}  // namespace m2
