#include "ops/host_backend.h"

#include <cstring>

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

Tensor HostBackend::allocate(DType dtype, const Shape& shape) { return {dtype, shape}; }

void HostBackend::synchronize() {}

bool HostBackend::host_accessible() const { return true; }

void HostBackend::upload(const TensorView& host, const TensorView& device) { copy(host, device); }

void HostBackend::download(const TensorView& device, const TensorView& host) { copy(device, host); }

void HostBackend::copy(const TensorView& from, const TensorView& to) {
  check_shape("copy", "to", to, from.dtype, from.shape, "from", from.shape);
  check_disjoint("copy", "to", to, "from", from);
  if (from.num_bytes() > 0) std::memcpy(to.data, from.data, from.num_bytes());
}

WeightView HostBackend::place(const WeightView& host, MatrixUse /*use*/, Owners& /*owners*/) {
  return host;
}

TensorView HostBackend::place(const TensorView& host, Owners& /*owners*/) { return host; }

}  // namespace m2
