// Turns tensors of a checkpoint into what the model computes with, and notes what does not fit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/load_report.h"
#include "model/weight_names.h"
#include "model/weights.h"

namespace m2 {

/// A tensor that should be there: its names, and the tensor and scales where they were found.
struct FoundTensor {
  TensorName name;
  Part part = Part::kNorm;
  const CheckpointTensor* weight = nullptr;
  const CheckpointTensor* scale = nullptr;
};

/// Records missing and mismatched tensors in the report and goes on, so that one load names them
/// all; throws at once where a tensor cannot be understood. Initialises and converts as the options
/// say.
class WeightViews {
 public:
  WeightViews(const MiniMaxM2Config& config, const WeightLoadOptions& options, LoadReport& report);

  /// A matrix [rows, cols]; absent on failure.
  WeightView matrix(const FoundTensor& found, std::int64_t rows, std::int64_t cols);
  /// The matrices of a stack [shape[0], parts * rows, cols] in order, `parts` of equal height from
  /// each entry: the fused gate and up projections have two. Empty on failure.
  std::vector<WeightView> stack(const FoundTensor& found, const Shape& shape, std::int64_t parts);
  /// A vector [size] as float32.
  TensorView vector(const FoundTensor& found, std::int64_t size);
  /// A matrix as in a fresh model.
  WeightView initial_matrix(const FoundTensor& found, std::int64_t rows, std::int64_t cols);

  /// Gives what was made here to the weights: memory and logical types.
  void finish(ModelWeights& weights);

 private:
  bool fits(const FoundTensor& found, const Shape& shape);
  [[nodiscard]] bool may_initialize(const FoundTensor& found) const;
  [[nodiscard]] bool check_scaled(const FoundTensor& found) const;
  void set_blocks(WeightView& view, std::int64_t rows, std::int64_t cols) const;
  const float* scales(const FoundTensor& found, const Shape& shape);
  float* as_float(const CheckpointTensor& tensor);
  void count(const CheckpointTensor& tensor);
  [[nodiscard]] DType logical_dtype(const FoundTensor& found, DType stored) const;
  [[nodiscard]] DType initial_dtype() const;
  WeightView stored(const FoundTensor& found, std::int64_t rows, std::int64_t cols);
  WeightView convert(const FoundTensor& found, const WeightView& view);
  WeightView converted_copy(const WeightView& view, DType dtype);
  TensorView initial_vector(const FoundTensor& found, std::int64_t size);

  const MiniMaxM2Config& config_;
  const WeightLoadOptions& options_;
  LoadReport& report_;
  bool dequantize_;
  std::shared_ptr<std::vector<Tensor>> made_ = std::make_shared<std::vector<Tensor>>();
  std::unordered_map<const void*, DType> logical_dtypes_;
};

}  // namespace m2
