// What the tests of the CUDA backend share: a device to try, and tensors in its memory.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <span>

#include "cuda/cuda_backend.h"
#include "cuda/devices.h"
#include "ops/op_cases.h"

namespace m2::test {

/// Skips where there is no device.
class DeviceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::list_devices().empty()) GTEST_SKIP() << "there is no CUDA device";
    backend_ = std::make_unique<CudaBackend>(cuda::list_devices().front().index);
  }

  /// A copy in the device's memory.
  [[nodiscard]] Tensor to_device(const TensorView& host) {
    Tensor device = backend_->allocate(host.dtype, host.shape);
    backend_->upload(host, device.view());
    return device;
  }
  [[nodiscard]] Tensor to_host(const Tensor& device) {
    Tensor host(device.view().dtype, device.shape());
    backend_->download(device.view(), host.view());
    return host;
  }
  [[nodiscard]] WeightView place(const WeightView& host, MatrixUse use = MatrixUse::kProduct) {
    const WeightView placed = backend_->place(host, use, owners_);
    backend_->synchronize();  // the host's memory is free now
    return placed;
  }

  std::unique_ptr<CudaBackend> backend_;
  Owners owners_;
};

template <typename T>
Tensor tensor_of(const std::vector<T>& values, const Shape& shape) {
  Tensor result(DTypeOf<T>::kValue, shape);
  std::copy(values.begin(), values.end(), result.as<T>());
  return result;
}

/// The choice of `top_k` experts next to each other, from a random one on, for every token: [T, K].
inline Tensor neighbouring_experts(std::int64_t num_tokens, std::int64_t top_k,
                                   std::int64_t num_experts, Random& random) {
  Tensor ids(DType::kI32, {num_tokens, top_k});
  for (std::int64_t t = 0; t < num_tokens; ++t) {
    const std::int64_t first = random.below(num_experts);
    for (std::int64_t j = 0; j < top_k; ++j) {
      ids.as<std::int32_t>()[t * top_k + j] = static_cast<std::int32_t>((first + j) % num_experts);
    }
  }
  return ids;
}

/// The difference of every row of `cols` numbers is at most `tolerance` times the size of the row.
inline void expect_rows_within(std::span<const float> got, std::span<const float> expected,
                               std::int64_t cols, double tolerance) {
  ASSERT_EQ(got.size(), expected.size());
  const auto width = static_cast<std::size_t>(cols);
  for (std::size_t row = 0; row * width < expected.size(); ++row) {
    double error = 0.0;
    double norm = 0.0;
    for (std::size_t i = row * width; i < (row + 1) * width; ++i) {
      const double difference = double{got[i]} - double{expected[i]};
      error += difference * difference;
      norm += double{expected[i]} * double{expected[i]};
    }
    EXPECT_LE(std::sqrt(error), tolerance * std::sqrt(norm)) << "token " << row;
  }
}

}  // namespace m2::test
