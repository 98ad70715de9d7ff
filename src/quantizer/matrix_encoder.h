// Converts a matrix a few strips at a time and measures what that costs in precision.
#pragma once

#include <cstdint>
#include <string>

#include "base/thread_pool.h"
#include "checkpoint/safetensors.h"
#include "quant/weight_view.h"
#include "quantizer/target_format.h"

namespace m2 {

/// How far decoded weights are from the originals.
struct CodingError {
  double squared_error = 0;  // sum over all weights
  double squared_sum = 0;    // of the originals
  double largest = 0;        // |decoded - original|

  void add(const CodingError& other);
  /// Root mean square error over the root mean square of the originals; 0 where those are 0.
  [[nodiscard]] double relative() const;
};

/// Hands the bytes of `source` in `target`, which is not "stored", to the sink, in pieces of
/// bounded size; the result does not depend on the number of threads. `name` is for messages.
/// Throws kInvalidArgument for values that the format cannot hold.
CodingError encode_matrix(const WeightView& source, const TargetFormat& target,
                          const std::string& name, ThreadPool& pool,
                          const SafetensorsWriter::Sink& sink);

}  // namespace m2
