// The tensors of a model in the order, with the names and types in which they are saved.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "model/save_weights.h"

namespace m2 {

struct SavedTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  SafetensorsWriter::Producer producer;  // reads the weights when it runs
  /// Tensors with the same number are parts of one tensor of the reference (the fused experts),
  /// stay in one file and follow each other.
  std::int64_t storage = 0;

  [[nodiscard]] std::int64_t num_bytes() const {
    return shape.num_elements() * static_cast<std::int64_t>(dtype_size(dtype));
  }
};

/// Hub names: the natural order of the internal names. Internal names: the order in which the
/// reference registers its modules. Throws kUnsupported when the experts of a layer cannot be fused
/// because their types differ or their scale blocks would reach over the border of two matrices.
std::vector<SavedTensor> saved_tensors(const ModelWeights& weights,
                                       const SaveWeightsOptions& options);

}  // namespace m2
