#include "model/weight_views.h"

#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

bool is_matrix_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF8E4M3;
}

}  // namespace

WeightViews::WeightViews(const MiniMaxM2Config& config, LoadReport& report)
    : quantization_(config.quantization), report_(report) {}

bool WeightViews::fits(const FoundTensor& found, const Shape& shape) {
  if (found.weight == nullptr) {
    M2_REQUIRE(ErrorCode::kCorruptFile, found.scale == nullptr, "checkpoint: the scales ",
               found.scale_name, " have no weight ", found.name);
    report_.missing.push_back(found.name);
    return false;
  }
  count(*found.weight);
  if (found.weight->view.shape == shape) return true;
  report_.mismatched.push_back({found.name, found.weight->view.shape, shape});
  return false;
}

void WeightViews::count(const CheckpointTensor& tensor) {
  ++report_.num_tensors;
  report_.bytes_by_dtype[tensor.view.dtype] += static_cast<std::int64_t>(tensor.view.num_bytes());
}

// True when the matrix has scales; exactly the F8_E4M3 ones do.
bool WeightViews::check_scaled(const FoundTensor& found) const {
  const DType dtype = found.weight->view.dtype;
  M2_REQUIRE(ErrorCode::kUnsupported, is_matrix_dtype(dtype), "checkpoint: ", found.name,
             ": weights of dtype ", dtype_name(dtype), " are not supported");
  if (dtype != DType::kF8E4M3) {
    M2_REQUIRE(ErrorCode::kCorruptFile, found.scale == nullptr, "checkpoint: ", found.name, " is ",
               dtype_name(dtype), " and cannot have scales, but there is ", found.scale_name);
    return false;
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, found.scale != nullptr, "checkpoint: ", found.name,
             " is F8_E4M3, but its scales ", found.scale_name, " are absent");
  M2_REQUIRE(ErrorCode::kCorruptFile, quantization_.has_value(), "checkpoint: ", found.name,
             " is F8_E4M3, but config.json has no quantization_config");
  return true;
}

// One scale covers the whole of [rows, cols] when no block size is given.
void WeightViews::set_blocks(WeightView& view, std::int64_t rows, std::int64_t cols) const {
  const auto size = quantization_->weight_block_size.value_or(std::array{rows, cols});
  view.block_rows = size[0];
  view.block_cols = size[1];
}

// One scale for a whole matrix may be stored with any number of unit dimensions.
const float* WeightViews::scales(const FoundTensor& found, const Shape& shape) {
  const TensorView& view = found.scale->view;
  const bool whole = !quantization_->weight_block_size.has_value();
  const bool valid = whole ? view.num_elements() == shape.num_elements() : view.shape == shape;
  M2_REQUIRE(ErrorCode::kCorruptFile, valid, "checkpoint: ", found.scale_name, ": expected shape ",
             shape, " for the weight of shape ", found.weight->view.shape, ", got ", view.shape);
  count(*found.scale);
  return view.dtype == DType::kF32 ? view.as<float>() : as_float(*found.scale);
}

const float* WeightViews::as_float(const CheckpointTensor& tensor) {
  const TensorView& view = tensor.view;
  const bool numbers = is_floating(view.dtype) && view.dtype != DType::kF8E4M3;
  M2_REQUIRE(ErrorCode::kUnsupported, numbers, "checkpoint: ", tensor.name, ": dtype ",
             dtype_name(view.dtype), " is not supported here");
  Tensor& copy = converted_->emplace_back(DType::kF32, view.shape);
  for (std::int64_t i = 0; i < view.num_elements(); ++i) {
    copy.as<float>()[i] = load_float(view.data, view.dtype, i);
  }
  ++report_.converted_tensors;
  report_.converted_bytes += static_cast<std::int64_t>(copy.view().num_bytes());
  return copy.as<float>();
}

WeightView WeightViews::matrix(const FoundTensor& found, std::int64_t rows, std::int64_t cols) {
  if (!fits(found, {rows, cols})) return {};
  WeightView view{found.weight->view.data, found.weight->view.dtype, rows, cols};
  if (!check_scaled(found)) return view;
  set_blocks(view, rows, cols);
  view.scale = scales(found, {ceil_div(rows, view.block_rows), view.scale_cols()});
  return view;
}

std::vector<WeightView> WeightViews::stack(const FoundTensor& found, const Shape& shape,
                                           std::int64_t parts) {
  if (!fits(found, shape)) return {};
  const std::int64_t rows = shape[1] / parts;
  const std::int64_t cols = shape[2];
  WeightView view{found.weight->view.data, found.weight->view.dtype, rows, cols};
  std::int64_t scale_step = 0;  // from one view to the next of the same entry
  std::int64_t entry_scales = 0;
  if (check_scaled(found)) {
    set_blocks(view, shape[1], cols);
    const bool whole = !quantization_->weight_block_size.has_value();
    M2_REQUIRE(ErrorCode::kUnsupported, parts == 1 || whole || rows % view.block_rows == 0,
               "checkpoint: ", found.name, ": a block of ", view.block_rows,
               " rows would reach over the border of the ", parts, " matrices of ", rows, " rows");
    const std::int64_t scale_rows = ceil_div(shape[1], view.block_rows);
    view.scale = scales(found, {shape[0], scale_rows, view.scale_cols()});
    entry_scales = scale_rows * view.scale_cols();
    scale_step = whole ? 0 : entry_scales / parts;
  }
  const auto matrix_bytes = rows * cols * static_cast<std::int64_t>(dtype_size(view.dtype));
  std::vector<WeightView> views;
  views.reserve(static_cast<std::size_t>(shape[0] * parts));
  for (std::int64_t i = 0; i < shape[0] * parts; ++i) {
    views.push_back(view);
    views.back().data = static_cast<const std::byte*>(view.data) + i * matrix_bytes;
    if (view.scale != nullptr) {
      views.back().scale = view.scale + i / parts * entry_scales + i % parts * scale_step;
    }
  }
  return views;
}

TensorView WeightViews::vector(const FoundTensor& found, std::int64_t size) {
  if (!fits(found, {size})) return {};
  M2_REQUIRE(ErrorCode::kCorruptFile, found.scale == nullptr, "checkpoint: ", found.name,
             " is a vector and cannot have scales, but there is ", found.scale_name);
  return {const_cast<float*>(as_float(*found.weight)), DType::kF32, Shape{size}};
}

}  // namespace m2
