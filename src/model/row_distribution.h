// The normal distribution that the rows of a matrix look like they come from.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "quant/weight_view.h"

namespace m2 {

/// Mean and covariance of rows, for drawing more of them. Reads the matrix in pieces.
class RowDistribution {
 public:
  /// Draws have `scale` times the covariance of the rows.
  RowDistribution(const WeightView& rows, double scale);

  /// False when the covariance is not positive definite; always with no more rows than columns.
  [[nodiscard]] bool spreads() const { return !factor_.empty(); }

  /// mean + L noise with L L^T = scale * covariance; the mean where it does not spread.
  /// noise and out: [H].
  void draw(std::span<const float> noise, std::span<float> out) const;

 private:
  void accumulate_mean(const WeightView& rows);
  void accumulate_covariance(const WeightView& rows, double scale);
  [[nodiscard]] bool factorize();

  std::int64_t size_;           // H
  std::vector<double> mean_;    // [H]
  std::vector<double> factor_;  // [H, H], lower triangle; empty when singular
};

}  // namespace m2
