#include "model/row_distribution.h"

#include <algorithm>
#include <cmath>

#include "base/thread_pool.h"

namespace m2 {
namespace {

constexpr std::int64_t kPiece = 64;  // rows that are decoded and multiplied together

double* row_of(std::vector<double>& matrix, std::int64_t row, std::int64_t cols) {
  return matrix.data() + row * cols;
}

}  // namespace

RowDistribution::RowDistribution(const WeightView& rows, double scale)
    : size_(rows.cols), mean_(static_cast<std::size_t>(rows.cols)) {
  accumulate_mean(rows);
  if (rows.rows <= rows.cols) return;  // rank below H
  accumulate_covariance(rows, scale);
  if (!factorize()) factor_.clear();
}

void RowDistribution::accumulate_mean(const WeightView& rows) {
  std::vector<float> row(mean_.size());
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    decode_row(rows, r, row.data());
    for (std::size_t c = 0; c < row.size(); ++c) mean_[c] += row[c];
  }
  for (double& value : mean_) value /= static_cast<double>(rows.rows);
}

// The lower triangle of scale * sum of (row - mean)^T (row - mean) / rows: for every piece, float
// sums of 64 products, which are added in double.
void RowDistribution::accumulate_covariance(const WeightView& rows, double scale) {
  factor_.assign(mean_.size() * mean_.size(), 0.0);
  ThreadPool pool;
  std::vector<float> piece(static_cast<std::size_t>(kPiece * size_));
  for (std::int64_t begin = 0; begin < rows.rows; begin += kPiece) {
    const std::int64_t count = std::min(kPiece, rows.rows - begin);
    for (std::int64_t r = 0; r < count; ++r) {
      float* centred = piece.data() + r * size_;
      decode_row(rows, begin + r, centred);
      for (std::int64_t c = 0; c < size_; ++c) {
        centred[c] -= static_cast<float>(mean_[static_cast<std::size_t>(c)]);
      }
    }
    pool.parallel_for(size_, 16, [&](std::int64_t first, std::int64_t last) {
      std::vector<float> sums(static_cast<std::size_t>(last));
      for (std::int64_t i = first; i < last; ++i) {
        std::fill_n(sums.begin(), i + 1, 0.0F);
        for (std::int64_t r = 0; r < count; ++r) {
          const float* centred = piece.data() + r * size_;
          const float factor = centred[i];
          for (std::int64_t j = 0; j <= i; ++j)
            sums[static_cast<std::size_t>(j)] += factor * centred[j];
        }
        double* out = row_of(factor_, i, size_);
        for (std::int64_t j = 0; j <= i; ++j) out[j] += sums[static_cast<std::size_t>(j)];
      }
    });
  }
  const double factor = scale / static_cast<double>(rows.rows);
  for (double& value : factor_) value *= factor;
}

// Cholesky in place, row by row: every dot product runs along two rows.
bool RowDistribution::factorize() {
  for (std::int64_t i = 0; i < size_; ++i) {
    double* row = row_of(factor_, i, size_);
    for (std::int64_t j = 0; j <= i; ++j) {
      const double* other = row_of(factor_, j, size_);
      double sum = row[j];
      for (std::int64_t k = 0; k < j; ++k) sum -= row[k] * other[k];
      if (j < i) {
        row[j] = sum / other[j];
      } else if (sum > 0 && std::isfinite(sum)) {
        row[i] = std::sqrt(sum);
      } else {
        return false;
      }
    }
  }
  return true;
}

void RowDistribution::draw(std::span<const float> noise, std::span<float> out) const {
  for (std::int64_t i = 0; i < size_; ++i) {
    double value = mean_[static_cast<std::size_t>(i)];
    if (spreads()) {
      const double* row = factor_.data() + i * size_;
      for (std::int64_t k = 0; k <= i; ++k) value += row[k] * noise[static_cast<std::size_t>(k)];
    }
    out[static_cast<std::size_t>(i)] = static_cast<float>(value);
  }
}

}  // namespace m2
