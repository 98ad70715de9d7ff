// The tensors of a model in the order, with the names and types in which they are saved.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "model/save_weights.h"
#include "model/weight_names.h"

namespace m2 {

struct SavedTensor {
  std::string name;
  DType dtype = DType::kF32;             // U8 with a block format
  Shape shape;                           // the logical one
  SafetensorsWriter::Producer producer;  // reads the weights when it runs
  /// Tensors with the same number stay in one file and follow each other: the parts of one tensor
  /// of the reference (the fused experts), the matrices of one expert in block formats.
  std::int64_t storage = 0;
  BlockFormat block_format = BlockFormat::kNone;
  Place place = {Part::kNorm};
  WeightView view = {};  // of a matrix or vector (one row); absent for scales and fused experts

  [[nodiscard]] std::int64_t num_bytes() const;
};

/// Hub names: the natural order of the internal names. Internal names: the order in which the
/// reference registers its modules. With block formats, hub names are in the order of
/// keep_experts_together. Throws kUnsupported when the experts of a layer cannot be fused
/// because their types differ or their scale blocks would reach over the border of two matrices.
std::vector<SavedTensor> saved_tensors(const ModelWeights& weights,
                                       const SaveWeightsOptions& options);

/// Natural order of the names; the matrices of one expert in block formats share a storage, so that
/// one read gets them. For hub names.
void keep_experts_together(std::vector<SavedTensor>& tensors);

}  // namespace m2
