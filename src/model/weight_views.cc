#include "model/weight_views.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "model/initial_values.h"
#include "model/torch_dtype.h"

namespace m2 {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

bool is_matrix_dtype(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF8E4M3;
}

// A module of `modules_to_not_convert` by its whole name, its beginning or its end.
bool is_excluded(const QuantizationConfig& quantization, const std::string& tensor) {
  if (!quantization.modules_to_not_convert.has_value()) return tensor.starts_with("lm_head");
  const std::string module = tensor.substr(0, tensor.rfind(".weight"));
  return std::ranges::any_of(*quantization.modules_to_not_convert, [&](const std::string& name) {
    return module.starts_with(name) || module.ends_with(name);
  });
}

float round_to(DType dtype, float value) {
  if (dtype == DType::kBF16) return to_float(to_bf16(value));
  if (dtype == DType::kF16) return to_float(to_f16(value));
  return value;
}

}  // namespace

WeightViews::WeightViews(const MiniMaxM2Config& config, const WeightLoadOptions& options,
                         LoadReport& report)
    : config_(config),
      options_(options),
      report_(report),
      dequantize_(options.dequantize ||
                  (config.quantization.has_value() && config.quantization->dequantize)) {}

void WeightViews::finish(ModelWeights& weights) {
  weights.owners.push_back(made_);
  weights.logical_dtypes = std::move(logical_dtypes_);
}

bool WeightViews::fits(const FoundTensor& found, const Shape& shape) {
  if (found.weight == nullptr) {
    M2_REQUIRE(ErrorCode::kCorruptFile, found.scale == nullptr, "checkpoint: the scales ",
               found.name.both(kScaleSuffix), " have no weight ", found.name.both());
    report_.missing.push_back(found.name.both());
    report_.missing_keys.push_back(found.name.internal);
    return false;
  }
  count(*found.weight);
  const Shape& file_shape = found.weight->shape;
  if (file_shape == shape) return true;
  report_.mismatched.push_back({found.name.both(), file_shape, shape});
  if (found.part < Part::kExpertGate) {
    report_.mismatched_keys.push_back({found.name.internal, file_shape, shape});
  }
  return false;
}

bool WeightViews::may_initialize(const FoundTensor& found) const {
  return found.weight == nullptr ? options_.initialize_missing : options_.initialize_mismatched;
}

void WeightViews::count(const CheckpointTensor& tensor) {
  ++report_.num_tensors;
  report_.bytes_by_dtype[tensor.view.dtype] += static_cast<std::int64_t>(tensor.view.num_bytes());
}

// True when the matrix has scales; exactly the F8_E4M3 ones do.
bool WeightViews::check_scaled(const FoundTensor& found) const {
  const DType dtype = found.weight->view.dtype;
  const bool blocks = found.weight->block_format != BlockFormat::kNone;
  const bool supported = is_matrix_dtype(dtype) || dtype == DType::kF64 || blocks;
  M2_REQUIRE(ErrorCode::kUnsupported, supported, "checkpoint: ", found.name.both(),
             ": weights of dtype ", dtype_name(dtype), " are not supported");
  if (dtype != DType::kF8E4M3) {
    M2_REQUIRE(ErrorCode::kCorruptFile, found.scale == nullptr, "checkpoint: ", found.name.both(),
               " is ", dtype_name(dtype), " and cannot have scales, but there is ",
               found.name.both(kScaleSuffix));
    return false;
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, found.scale != nullptr, "checkpoint: ", found.name.both(),
             " is F8_E4M3, but its scales ", found.name.both(kScaleSuffix), " are absent");
  M2_REQUIRE(ErrorCode::kCorruptFile, config_.quantization.has_value(),
             "checkpoint: ", found.name.both(),
             " is F8_E4M3, but config.json has no quantization_config");
  M2_REQUIRE(ErrorCode::kUnsupported,
             dequantize_ || config_.quantization->activation_scheme == "dynamic",
             "checkpoint: ", found.name.both(), ": activation_scheme \"",
             config_.quantization->activation_scheme, "\" is not supported, only \"dynamic\"");
  M2_REQUIRE(ErrorCode::kCorruptFile, !is_excluded(*config_.quantization, found.name.internal),
             "checkpoint: ", found.name.both(),
             " is F8_E4M3, but modules_to_not_convert of quantization_config names it");
  return true;
}

// One scale covers the whole of [rows, cols] when no block size is given.
void WeightViews::set_blocks(WeightView& view, std::int64_t rows, std::int64_t cols) const {
  const auto size = config_.quantization->weight_block_size.value_or(std::array{rows, cols});
  view.block_rows = size[0];
  view.block_cols = size[1];
}

// One scale for a whole matrix may be stored with any number of unit dimensions.
const float* WeightViews::scales(const FoundTensor& found, const Shape& shape) {
  const TensorView& view = found.scale->view;
  const bool whole = !config_.quantization->weight_block_size.has_value();
  const bool valid = whole ? view.num_elements() == shape.num_elements() : view.shape == shape;
  M2_REQUIRE(ErrorCode::kCorruptFile, valid, "checkpoint: ", found.name.both(kScaleSuffix),
             ": expected shape ", shape, " for the weight of shape ", found.weight->view.shape,
             ", got ", view.shape);
  count(*found.scale);
  return view.dtype == DType::kF32 ? view.as<float>() : as_float(*found.scale);
}

float* WeightViews::as_float(const CheckpointTensor& tensor) {
  const TensorView& view = tensor.view;
  const bool numbers = is_floating(view.dtype) && view.dtype != DType::kF8E4M3;
  M2_REQUIRE(ErrorCode::kUnsupported, numbers, "checkpoint: ", tensor.name, ": dtype ",
             dtype_name(view.dtype), " is not supported here");
  Tensor& copy = made_->emplace_back(DType::kF32, view.shape);
  for (std::int64_t i = 0; i < view.num_elements(); ++i) {
    copy.as<float>()[i] = load_float(view.data, view.dtype, i);
  }
  ++report_.converted_tensors;
  report_.converted_bytes += static_cast<std::int64_t>(copy.view().num_bytes());
  return copy.as<float>();
}

// The type that the tensor has in the model's eyes. The router keeps its float32: its values decide
// which experts run. The reference does so only in quantised models that have the hub's names.
DType WeightViews::logical_dtype(const FoundTensor& found, DType stored) const {
  if (!options_.dtype.has_value()) return stored;
  if (found.part != Part::kGate && found.part != Part::kCorrectionBias) return *options_.dtype;
  const bool hub_name = found.weight->name.find("block_sparse_moe.") != std::string_view::npos;
  if (config_.quantization.has_value() && hub_name) return stored;
  return !options_.strict && stored == DType::kF32 ? stored : *options_.dtype;
}

DType WeightViews::initial_dtype() const {
  if (options_.dtype.has_value()) return *options_.dtype;
  const auto dtype = config_.dtype ? weight_dtype(*config_.dtype) : std::nullopt;
  return dtype.value_or(DType::kF32);
}

// A wider type has the same values, so the bytes of the file stay and only the name changes.
WeightView WeightViews::convert(const FoundTensor& found, const WeightView& view) {
  if (view.dtype == DType::kF8E4M3 || view.block_format != BlockFormat::kNone) {
    return dequantize_ ? converted_copy(view, options_.dtype.value_or(DType::kBF16)) : view;
  }
  const DType dtype = logical_dtype(found, view.dtype);
  if (dtype == view.dtype) return view;
  if (dtype != DType::kF32) return converted_copy(view, dtype);
  logical_dtypes_[view.data] = dtype;
  return view;
}

WeightView WeightViews::converted_copy(const WeightView& view, DType dtype) {
  Tensor& copy = made_->emplace_back(dtype, Shape{view.rows, view.cols});
  std::vector<float> row(static_cast<std::size_t>(view.cols));
  for (std::int64_t r = 0; r < view.rows; ++r) {
    decode_row(view, r, row.data());
    for (std::int64_t c = 0; c < view.cols; ++c) {
      store_float(copy.view().data, dtype, r * view.cols + c, row[static_cast<std::size_t>(c)]);
    }
  }
  ++report_.converted_tensors;
  report_.converted_bytes += static_cast<std::int64_t>(copy.view().num_bytes());
  return {copy.view().data, dtype, view.rows, view.cols};
}

WeightView WeightViews::initial_matrix(const FoundTensor& found, std::int64_t rows,
                                       std::int64_t cols) {
  // As in the reference, where the rule of the base class for its own modules replaces 0.
  const bool own_rule = found.part == Part::kGate || found.part >= Part::kFusedGateUp;
  const double range = config_.initializer_range;
  const double deviation = own_rule || range != 0.0 ? range : 0.02;
  Tensor& made = made_->emplace_back(initial_dtype(), Shape{rows, cols});
  fill_normal(made.view(), deviation, options_.seed, found.name.hub);
  const auto pad = config_.pad_token_id.value_or(-1);
  if (found.part == Part::kEmbedTokens && pad >= 0 && pad < rows) {
    for (std::int64_t c = 0; c < cols; ++c) {
      store_float(made.view().data, made.view().dtype, pad * cols + c, 0.0F);
    }
  }
  return {made.view().data, made.view().dtype, rows, cols};
}

TensorView WeightViews::initial_vector(const FoundTensor& found, std::int64_t size) {
  Tensor& made = made_->emplace_back(DType::kF32, Shape{size});
  const float value = found.part == Part::kCorrectionBias ? 0.0F : 1.0F;
  std::fill_n(made.as<float>(), size, value);
  logical_dtypes_[made.view().data] = initial_dtype();
  return made.view();
}

// No operation reads float64: it becomes float32.
WeightView WeightViews::stored(const FoundTensor& found, std::int64_t rows, std::int64_t cols) {
  const TensorView& view = found.weight->view;
  if (view.dtype == DType::kF64) return {as_float(*found.weight), DType::kF32, rows, cols};
  WeightView stored = {view.data, view.dtype, rows, cols};
  stored.block_format = found.weight->block_format;
  return stored;
}

WeightView WeightViews::matrix(const FoundTensor& found, std::int64_t rows, std::int64_t cols) {
  if (!fits(found, {rows, cols})) {
    return may_initialize(found) ? initial_matrix(found, rows, cols) : WeightView{};
  }
  WeightView view = stored(found, rows, cols);
  if (check_scaled(found)) {
    set_blocks(view, rows, cols);
    view.scale = scales(found, {ceil_div(rows, view.block_rows), view.scale_cols()});
  }
  return convert(found, view);
}

std::vector<WeightView> WeightViews::stack(const FoundTensor& found, const Shape& shape,
                                           std::int64_t parts) {
  if (!fits(found, shape)) return {};
  const std::int64_t rows = shape[1] / parts;
  const std::int64_t cols = shape[2];
  WeightView view = stored(found, rows, cols);
  std::int64_t scale_step = 0;  // from one view to the next of the same entry
  std::int64_t entry_scales = 0;
  if (check_scaled(found)) {
    set_blocks(view, shape[1], cols);
    const bool whole = !config_.quantization->weight_block_size.has_value();
    M2_REQUIRE(ErrorCode::kUnsupported, parts == 1 || whole || rows % view.block_rows == 0,
               "checkpoint: ", found.name.both(), ": a block of ", view.block_rows,
               " rows would reach over the border of the ", parts, " matrices of ", rows, " rows");
    const std::int64_t scale_rows = ceil_div(shape[1], view.block_rows);
    view.scale = scales(found, {shape[0], scale_rows, view.scale_cols()});
    entry_scales = scale_rows * view.scale_cols();
    scale_step = whole ? 0 : entry_scales / parts;
  }
  const bool blocks = view.block_format != BlockFormat::kNone;
  M2_REQUIRE(ErrorCode::kUnsupported, parts == 1 || !blocks || can_stack(view),
             "checkpoint: ", found.name.both(), ": ", block_format_name(view.block_format),
             " would reach over the ", "border of the ", parts, " matrices of ", rows, " rows");
  const auto matrix_bytes =
      blocks ? view.num_bytes() : rows * cols * static_cast<std::int64_t>(dtype_size(view.dtype));
  std::vector<WeightView> views;
  views.reserve(static_cast<std::size_t>(shape[0] * parts));
  for (std::int64_t i = 0; i < shape[0] * parts; ++i) {
    WeightView part = view;
    part.data = static_cast<const std::byte*>(view.data) + i * matrix_bytes;
    if (part.scale != nullptr) part.scale += i / parts * entry_scales + i % parts * scale_step;
    views.push_back(convert(found, part));
  }
  return views;
}

TensorView WeightViews::vector(const FoundTensor& found, std::int64_t size) {
  if (!fits(found, {size})) {
    return may_initialize(found) ? initial_vector(found, size) : TensorView{};
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, found.scale == nullptr, "checkpoint: ", found.name.both(),
             " is a vector and cannot have scales, but there is ", found.name.both(kScaleSuffix));
  float* values = as_float(*found.weight);
  const DType stored = found.weight->view.dtype;
  const DType dtype = logical_dtype(found, stored);
  if (dtype != stored) {
    for (std::int64_t i = 0; i < size; ++i) values[i] = round_to(dtype, values[i]);
  }
  logical_dtypes_[values] = dtype;
  return {values, DType::kF32, Shape{size}};
}

}  // namespace m2
