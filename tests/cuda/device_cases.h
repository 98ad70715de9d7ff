// What the tests of the CUDA backend share: a device to try, and tensors in its memory.
#pragma once

#include <gtest/gtest.h>

#include <memory>

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
  [[nodiscard]] WeightView place(const WeightView& host) {
    const WeightView placed = backend_->place(host, owners_);
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

}  // namespace m2::test
