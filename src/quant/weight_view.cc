#include "quant/weight_view.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "quant/ggml_format.h"
#include "quant/strip_format.h"

namespace m2 {
namespace {

std::array<float, 256> f8_values() {
  std::array<float, 256> values{};
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = to_float(f8e4m3{static_cast<std::uint8_t>(i)});
  }
  return values;
}

// The elements of a row from `first` on, without scales. Loops of their own for the types of large
// models.
void load_elements(const WeightView& weight, std::int64_t first, float* out) {
  if (weight.dtype == DType::kBF16) {
    const auto* data = static_cast<const std::byte*>(weight.data) + first * 2;
    for (std::int64_t col = 0; col < weight.cols; ++col) {
      bf16 value;
      std::memcpy(&value, data + col * 2, 2);
      out[col] = to_float(value);
    }
  } else if (weight.dtype == DType::kF8E4M3) {
    static const std::array<float, 256> kValues = f8_values();
    const auto* data = static_cast<const std::uint8_t*>(weight.data) + first;
    for (std::int64_t col = 0; col < weight.cols; ++col) out[col] = kValues[data[col]];
  } else {
    for (std::int64_t col = 0; col < weight.cols; ++col) {
      out[col] = load_float(weight.data, weight.dtype, first + col);
    }
  }
}

}  // namespace

std::int64_t WeightView::num_bytes() const {
  if (block_format != BlockFormat::kNone) return block_matrix_bytes(block_format, rows, cols);
  const std::int64_t elements = rows * cols * static_cast<std::int64_t>(dtype_size(dtype));
  return elements + num_scale_bytes();
}

std::int64_t WeightView::num_scale_bytes() const {
  if (scale == nullptr) return 0;
  const std::int64_t scale_rows = (rows + block_rows - 1) / block_rows;
  return scale_rows * scale_cols() * static_cast<std::int64_t>(sizeof(float));
}

void decode_row(const WeightView& weight, std::int64_t row, float* out) {
  M2_DCHECK(row >= 0 && row < weight.rows, "row ", row, " of ", weight.rows);
  if (is_ggml_format(weight.block_format)) {
    const std::int64_t row_bytes = ggml_layout(weight.block_format).row_bytes(weight.cols);
    const auto* bytes = static_cast<const std::byte*>(weight.data) + row * row_bytes;
    return decode_ggml_row(weight.block_format, bytes, weight.cols, out);
  }
  if (weight.block_format != BlockFormat::kNone) {
    return decode_strip_row(weight.block_format, weight.data, row, weight.cols, out);
  }
  load_elements(weight, row * weight.cols, out);
  if (weight.scale == nullptr) return;
  const std::int64_t first_scale = row / weight.block_rows * weight.scale_cols();
  for (std::int64_t begin = 0; begin < weight.cols; begin += weight.block_cols) {
    // Scales lie in files too, at any address.
    const float scale =
        load_float(weight.scale, DType::kF32, first_scale + begin / weight.block_cols);
    const std::int64_t end = std::min(weight.cols, begin + weight.block_cols);
    for (std::int64_t col = begin; col < end; ++col) out[col] *= scale;
  }
}

bool can_stack(const WeightView& weight) {
  WeightView both = weight;
  both.rows *= 2;
  return both.num_bytes() == 2 * weight.num_bytes();
}

void check_weight(const WeightView& weight, const char* what) {
  M2_CHECK(weight.present() && weight.rows > 0 && weight.cols > 0, what, ": absent weight");
  const bool blocks = weight.block_format != BlockFormat::kNone;
  M2_CHECK(!blocks || (weight.dtype == DType::kU8 && weight.scale == nullptr), what, ": ",
           block_format_name(weight.block_format), " is made of U8 without further scales");
  M2_CHECK(!blocks || block_format_fits(weight.block_format, weight.cols), what, ": ",
           block_format_name(weight.block_format), " has no rows of ", weight.cols);
  const bool known = blocks || weight.dtype == DType::kF32 || weight.dtype == DType::kF16 ||
                     weight.dtype == DType::kBF16 || weight.dtype == DType::kF8E4M3;
  M2_CHECK(known, what, ": weights of type ", dtype_name(weight.dtype), " cannot be multiplied");
  M2_CHECK((weight.dtype == DType::kF8E4M3) == (weight.scale != nullptr), what,
           ": F8_E4M3 and only it has scales");
  M2_CHECK(weight.block_rows > 0 && weight.block_cols > 0, what, ": scale blocks of ",
           weight.block_rows, " x ", weight.block_cols);
}

}  // namespace m2
