// The same elements in another shape.
#pragma once

#include <memory>
#include <utility>

#include "base/error.h"
#include "m2/tensor.h"

namespace m2 {

/// Takes over the memory of `tensor`; nothing is copied.
inline Tensor reshaped(Tensor tensor, const Shape& shape) {
  M2_CHECK(shape.num_elements() == tensor.view().num_elements(), "reshape ", tensor.shape(), " to ",
           shape);
  const TensorView view = {tensor.view().data, tensor.view().dtype, shape};
  const auto owner = std::make_shared<Tensor>(std::move(tensor));
  return {view, [owner](void*) {}};
}

}  // namespace m2
