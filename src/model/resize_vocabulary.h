// Another vocabulary size for loaded weights.
#pragma once

#include <cstdint>

#include "m2/config.h"
#include "model/weights.h"

namespace m2 {

struct ResizeOptions {
  /// New rows from the distribution of the old ones, N(mean, 1e-9 * covariance), or the mean itself
  /// where the covariance is singular; false: normal(0, initializer_range).
  bool mean_resizing = true;
  std::uint64_t seed = 0;
};

/// The same weights with `num_tokens` rows of embedding and head, which get memory of their own and
/// keep their type (bfloat16 for FP8); everything else is shared. Rows are cut off or added at the
/// end. `config` has the old vocab_size.
ModelWeights resize_vocabulary(const MiniMaxM2Config& config, const ModelWeights& weights,
                               std::int64_t num_tokens, const ResizeOptions& options);

}  // namespace m2
