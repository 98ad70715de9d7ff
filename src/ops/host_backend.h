// What the backends share that work in the memory of the host.
#pragma once

#include "ops/backend.h"

namespace m2 {

/// Memory and copies; operations return when they are done.
class HostBackend : public Backend {
 public:
  [[nodiscard]] Tensor allocate(DType dtype, const Shape& shape) final;
  void synchronize() final;
  [[nodiscard]] bool host_accessible() const final;
  void upload(const TensorView& host, const TensorView& device) final;
  void download(const TensorView& device, const TensorView& host) final;
  void copy(const TensorView& from, const TensorView& to) final;
  [[nodiscard]] WeightView place(const WeightView& host, MatrixUse use, Owners& owners) final;
  [[nodiscard]] TensorView place(const TensorView& host, Owners& owners) final;
};

}  // namespace m2
