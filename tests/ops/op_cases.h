// What the tests of the operations share: backends to try, seeded data, weights of every storage
// at unaligned addresses, and a comparison that reports the worst element.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cpu/cpu_backend.h"
#include "m2/error.h"
#include "quant/strip_format.h"
#include "quant/weight_view.h"

namespace m2::test {

// Half the distance between 1 and the next float: the largest relative error of one rounding.
inline constexpr double kUnitRoundoff = 0x1p-24;

struct BackendCase {
  std::string target;
  int num_threads;
};

/// Every instruction set of this machine on two threads, and the best one on other numbers.
inline std::vector<BackendCase> backend_cases() {
  std::vector<BackendCase> cases;
  for (const auto& target : CpuBackend::supported_targets()) cases.push_back({target, 2});
  for (const int threads : {1, 3, 7}) cases.push_back({cases.front().target, threads});
  return cases;
}

inline void PrintTo(const BackendCase& value, std::ostream* out) {
  *out << value.target << " with " << value.num_threads << " threads";
}

/// One lane sums all of a panel on the scalar target, a quarter of it elsewhere at least.
inline double fewest_lanes(const std::string& target) { return target == "SCALAR" ? 1.0 : 4.0; }

/// Roundings on the longest path of a dot product of `cols` terms (panels of 1024 columns, lanes
/// side by side, then the lanes, then the panels, then the product itself).
inline double dot_roundings(std::int64_t cols, const std::string& target) {
  const auto panel = static_cast<double>(std::min<std::int64_t>(cols, 1024));
  const double panels = std::ceil(static_cast<double>(cols) / 1024.0);
  return panel / fewest_lanes(target) + 6.0 + panels + 2.0;
}

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}

  float normal(float scale = 1.0F) { return scale * normal_(engine_); }
  std::int64_t below(std::int64_t bound) {
    return std::uniform_int_distribution<std::int64_t>(0, bound - 1)(engine_);
  }

  Tensor tensor(const Shape& shape, float scale = 1.0F) {
    Tensor result(DType::kF32, shape);
    std::generate_n(result.as<float>(), shape.num_elements(), [&] { return normal(scale); });
    return result;
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

/// Owns the bytes of a weight at an odd address, as tensors in a file may lie.
class StoredWeight {
 public:
  StoredWeight(DType dtype, std::int64_t rows, std::int64_t cols, Random& random,
               std::int64_t block_rows = 128, std::int64_t block_cols = 128) {
    view_ = {.dtype = dtype,
             .rows = rows,
             .cols = cols,
             .block_rows = block_rows,
             .block_cols = block_cols};
    const auto size = static_cast<std::int64_t>(dtype_size(dtype));
    bytes_.resize(static_cast<std::size_t>(rows * cols * size + 1));
    view_.data = bytes_.data() + 1;
    for (std::int64_t i = 0; i < rows * cols; ++i) set(i, random.normal());
    if (dtype == DType::kF8E4M3) make_scales(random);
  }
  /// In strips.
  StoredWeight(BlockFormat format, std::int64_t rows, std::int64_t cols, Random& random) {
    view_ = {.dtype = DType::kU8, .rows = rows, .cols = cols, .block_format = format};
    const std::int64_t strip_bytes = strip_layout(format, cols).strip_bytes();
    bytes_.resize(static_cast<std::size_t>(block_matrix_bytes(format, rows, cols) + 1));
    view_.data = bytes_.data() + 1;
    for (std::int64_t row = 0; row < rows; row += kStripRows) {
      const std::int64_t count = std::min(kStripRows, rows - row);
      const Tensor values = random.tensor({count, cols});
      encode_strip(format, values.as<float>(), count, cols,
                   reinterpret_cast<std::byte*>(bytes() + row / kStripRows * strip_bytes));
    }
  }
  StoredWeight(StoredWeight&&) = default;

  [[nodiscard]] const WeightView& view() const { return view_; }
  std::uint8_t* bytes() { return bytes_.data() + 1; }

 private:
  void set(std::int64_t index, float value) {
    std::uint8_t* at =
        bytes_.data() + 1 + index * static_cast<std::int64_t>(dtype_size(view_.dtype));
    const auto put = [&](auto stored) { std::memcpy(at, &stored, sizeof(stored)); };
    switch (view_.dtype) {
      case DType::kF32:
        return put(value);
      case DType::kF16:
        return put(to_f16(value));
      case DType::kBF16:
        return put(to_bf16(value));
      default:
        // Spread over the whole range of the format, subnormals included.
        return put(to_f8e4m3(value * std::exp2(static_cast<float>(index % 17) - 10.0F)));
    }
  }

  void make_scales(Random& random) {
    const std::int64_t scale_rows = (view_.rows + view_.block_rows - 1) / view_.block_rows;
    const auto count = static_cast<std::size_t>(scale_rows * view_.scale_cols());
    scale_bytes_.resize(count * sizeof(float) + 1);
    for (std::size_t i = 0; i < count; ++i) {
      const float scale = std::fabs(random.normal(0.01F)) + 1e-4F;
      std::memcpy(scale_bytes_.data() + 1 + i * sizeof(float), &scale, sizeof(scale));
    }
    view_.scale = reinterpret_cast<const float*>(scale_bytes_.data() + 1);
  }

  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint8_t> scale_bytes_;
  WeightView view_;
};

inline constexpr BlockFormat kStripFormats[] = {BlockFormat::kInt8G32, BlockFormat::kInt4G32,
                                                BlockFormat::kInt4G128};
inline constexpr DType kWeightTypes[] = {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3};

/// The exact weight as float64, [rows * cols].
inline std::vector<double> decode(const WeightView& weight) {
  std::vector<float> row(static_cast<std::size_t>(weight.cols));
  std::vector<double> all;
  for (std::int64_t r = 0; r < weight.rows; ++r) {
    decode_row(weight, r, row.data());
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

/// Compares element by element with a tolerance for each, reporting the worst.
inline void expect_close(std::span<const float> got, std::span<const double> expected,
                         std::span<const double> tolerance) {
  ASSERT_EQ(got.size(), expected.size());
  double worst = 0.0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(double{got[i]} - expected[i]);
    const double ratio = error == 0.0 ? 0.0 : error / tolerance[i];
    if (!(ratio <= worst)) {
      worst = ratio;
      at = i;
    }
  }
  EXPECT_LE(worst, 1.0) << "worst element " << at << " of " << got.size() << ": got " << got[at]
                        << ", expected " << expected[at] << ", tolerance " << tolerance[at];
}

/// An array that operations only read.
template <typename T>
TensorView view_of(const std::vector<T>& values, const Shape& shape) {
  return {const_cast<T*>(values.data()), DTypeOf<T>::kValue, shape};
}
template <typename T>
TensorView view_of(const std::vector<T>& values) {
  return view_of(values, {static_cast<std::int64_t>(values.size())});
}

inline std::span<const float> floats(const Tensor& tensor) {
  return {tensor.as<float>(), static_cast<std::size_t>(tensor.shape().num_elements())};
}

/// Bit for bit, NaN and the sign of zero included.
inline void expect_same_bits(std::span<const float> got, std::span<const float> expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(expected[i]))
        << "element " << i << " of " << got.size() << ": got " << got[i] << ", expected "
        << expected[i];
  }
}

/// Runs the body and expects kInternal with a message that contains every part.
template <class Body>
void expect_contract_error(const Body& body, const std::vector<std::string>& parts) {
  try {
    body();
    ADD_FAILURE() << "no error; expected one with \"" << parts.front() << "\"";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    for (const auto& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "\"" << part << "\" is not in: " << error.what();
    }
  }
}

}  // namespace m2::test
