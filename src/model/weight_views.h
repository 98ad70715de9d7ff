// Turns tensors of a checkpoint into what the model computes with, and notes what does not fit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/weights.h"

namespace m2 {

/// A tensor that should be there: its names, and the tensor and scales where they were found.
struct FoundTensor {
  std::string name;        // as reported
  std::string scale_name;  // as reported
  const CheckpointTensor* weight = nullptr;
  const CheckpointTensor* scale = nullptr;
};

/// Records missing and mismatched tensors in the report and goes on, so that one load names them
/// all; throws at once where a tensor cannot be understood.
class WeightViews {
 public:
  WeightViews(const MiniMaxM2Config& config, LoadReport& report);

  /// A matrix [rows, cols]; absent on failure.
  WeightView matrix(const FoundTensor& found, std::int64_t rows, std::int64_t cols);
  /// The matrices of a stack [shape[0], parts * rows, cols] in order, `parts` of equal height from
  /// each entry: the fused gate and up projections have two. Empty on failure.
  std::vector<WeightView> stack(const FoundTensor& found, const Shape& shape, std::int64_t parts);
  /// A vector [size] as float32.
  TensorView vector(const FoundTensor& found, std::int64_t size);

  /// What owns the converted numbers.
  [[nodiscard]] std::shared_ptr<const void> owner() const { return converted_; }

 private:
  bool fits(const FoundTensor& found, const Shape& shape);
  [[nodiscard]] bool check_scaled(const FoundTensor& found) const;
  void set_blocks(WeightView& view, std::int64_t rows, std::int64_t cols) const;
  const float* scales(const FoundTensor& found, const Shape& shape);
  const float* as_float(const CheckpointTensor& tensor);
  void count(const CheckpointTensor& tensor);

  const std::optional<QuantizationConfig>& quantization_;
  LoadReport& report_;
  std::shared_ptr<std::vector<Tensor>> converted_ = std::make_shared<std::vector<Tensor>>();
};

}  // namespace m2
