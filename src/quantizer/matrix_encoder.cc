#include "quantizer/matrix_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "base/error.h"
#include "model/initial_values.h"
#include "quant/ggml_format.h"
#include "quant/strip_format.h"
#include "quant/strip_repack.h"

namespace m2 {
namespace {

// Rows that one task converts at a time: those of a strip.
constexpr std::int64_t kTaskRows = kStripRows;
constexpr std::int64_t kPieceBytes = std::int64_t{1} << 26U;

// The converted rows of a piece as a matrix of its own.
WeightView target_view(const TargetFormat& target, std::int64_t rows, std::int64_t cols) {
  WeightView view = {nullptr, target.is_blocks() ? DType::kU8 : *target.dtype, rows, cols};
  view.block_format = target.block_format;
  return view;
}

void encode_elements(DType dtype, const std::vector<float>& values, std::byte* out) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    store_float(out, dtype, static_cast<std::int64_t>(i), values[i]);
  }
}

// `rows` [num_rows, cols] to `out`, where the first of them begins.
void encode_rows(const TargetFormat& target, const std::vector<float>& rows, std::int64_t num_rows,
                 std::int64_t cols, std::byte* out) {
  if (is_strip_format(target.block_format)) {
    encode_strip(target.block_format, rows.data(), num_rows, cols, out);
  } else if (target.is_blocks()) {
    const std::int64_t row_bytes = ggml_layout(target.block_format).row_bytes(cols);
    for (std::int64_t row = 0; row < num_rows; ++row) {
      encode_ggml_row(target.block_format, rows.data() + row * cols, cols, out + row * row_bytes);
    }
  } else {
    encode_elements(*target.dtype, rows, out);
  }
}

CodingError row_error(const float* original, const float* decoded, std::int64_t cols) {
  CodingError error;
  for (std::int64_t col = 0; col < cols; ++col) {
    const double difference = double{decoded[col]} - original[col];
    error.squared_error += difference * difference;
    error.squared_sum += double{original[col]} * original[col];
    error.largest = std::max(error.largest, std::fabs(difference));
  }
  return error;
}

// Rows [first, first + count) of the source into the same rows of a piece that begins at `begin`.
CodingError convert_rows(const WeightView& source, const TargetFormat& target,
                         const WeightView& piece, std::int64_t begin, std::int64_t first,
                         std::int64_t count) {
  const std::int64_t cols = source.cols;
  std::vector<float> rows(static_cast<std::size_t>(count * cols));
  for (std::int64_t row = 0; row < count; ++row) {
    decode_row(source, first + row, rows.data() + row * cols);
  }
  WeightView done = piece;
  done.rows = count;
  const std::int64_t offset = target_view(target, first - begin, cols).num_bytes();
  auto* out = static_cast<std::byte*>(const_cast<void*>(piece.data)) + offset;
  done.data = out;
  if (can_repack(source.block_format, target.block_format)) {
    const std::int64_t row_bytes = ggml_layout(source.block_format).row_bytes(cols);
    const auto* from = static_cast<const std::byte*>(source.data) + first * row_bytes;
    repack_strip(source.block_format, from, count, cols, target.block_format, out);
  } else {
    encode_rows(target, rows, count, cols, out);
  }
  std::vector<float> decoded(static_cast<std::size_t>(cols));
  CodingError error;
  for (std::int64_t row = 0; row < count; ++row) {
    decode_row(done, row, decoded.data());
    error.add(row_error(rows.data() + row * cols, decoded.data(), cols));
  }
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::isfinite(error.squared_error),
             "a value is not finite or too large for ", target_format_name(target));
  return error;
}

}  // namespace

void CodingError::add(const CodingError& other) {
  squared_error += other.squared_error;
  squared_sum += other.squared_sum;
  largest = std::max(largest, other.largest);
}

double CodingError::relative() const {
  return squared_sum > 0 ? std::sqrt(squared_error / squared_sum) : 0;
}

CodingError encode_matrix(const WeightView& source, const TargetFormat& target,
                          const std::string& name, ThreadPool& pool,
                          const SafetensorsWriter::Sink& sink) {
  const std::int64_t task_bytes = target_view(target, kTaskRows, source.cols).num_bytes();
  const std::int64_t piece_rows =
      std::clamp<std::int64_t>(kPieceBytes / task_bytes, 1, source.rows) * kTaskRows;
  std::vector<std::byte> bytes;
  CodingError total;
  for (std::int64_t begin = 0; begin < source.rows; begin += piece_rows) {
    WeightView piece = target_view(target, std::min(piece_rows, source.rows - begin), source.cols);
    bytes.resize(static_cast<std::size_t>(piece.num_bytes()));
    piece.data = bytes.data();
    const std::int64_t tasks = (piece.rows + kTaskRows - 1) / kTaskRows;
    std::vector<CodingError> errors(static_cast<std::size_t>(tasks));
    pool.parallel_for(tasks, 1, [&](std::int64_t task, std::int64_t end) {
      for (; task < end; ++task) {
        const std::int64_t row = task * kTaskRows;
        const std::int64_t count = std::min(kTaskRows, piece.rows - row);
        try {
          errors[static_cast<std::size_t>(task)] =
              convert_rows(source, target, piece, begin, begin + row, count);
        } catch (const Error& error) {
          fail(error.code(), name, ": rows ", begin + row, " to ", begin + row + count - 1, ": ",
               error.what());
        }
      }
    });
    for (const CodingError& error : errors) total.add(error);
    sink(bytes);
  }
  return total;
}

}  // namespace m2
