// How an operation sees a weight matrix, whatever its storage.
#pragma once

#include <cstdint>

#include "m2/tensor.h"
#include "quant/block_format.h"

namespace m2 {

/// A row-major matrix [rows = out_features, cols = in_features] in the bytes of the checkpoint.
///
/// F32, F16, BF16: one number an element. F8_E4M3: block-scaled,
///   W[r, c] = float(q[r, c]) * scale[r / block_rows, c / block_cols]
/// (the hub's `weight_scale_inv` multiplies, despite its name); edge blocks may be partial.
/// With a block format, dtype is U8 and `data` holds block_matrix_bytes(format, rows, cols).
struct WeightView {
  const void* data = nullptr;
  DType dtype = DType::kF32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const float* scale = nullptr;  // [ceil(rows / block_rows), ceil(cols / block_cols)], F8 only
  std::int64_t block_rows = 128;
  std::int64_t block_cols = 128;
  BlockFormat block_format = BlockFormat::kNone;

  [[nodiscard]] bool present() const { return data != nullptr; }
  [[nodiscard]] constexpr std::int64_t scale_cols() const {
    return (cols + block_cols - 1) / block_cols;
  }
  /// Bytes of the elements and, where there are any, of the scales.
  [[nodiscard]] std::int64_t num_bytes() const;
  /// Of these, what lies at `scale`.
  [[nodiscard]] std::int64_t num_scale_bytes() const;
};

/// The plain reference of every decoder: row `row` as float32 into out [cols].
void decode_row(const WeightView& weight, std::int64_t row, float* out);

/// Whether a second such matrix right behind the first makes one of twice the rows: not where
/// padding lies between them.
bool can_stack(const WeightView& weight);

/// Throws kInternal unless the view is complete: data, sizes, and scales where the type needs them.
void check_weight(const WeightView& weight, const char* what);

}  // namespace m2
