// Views of vectors, as arguments of the library.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "m2/tensor.h"

namespace m2::test {

/// The first elements of `values` as `shape`. The vector must outlive the view.
template <typename T>
TensorView view(const std::vector<T>& values, const Shape& shape) {
  if (std::cmp_less(values.size(), shape.num_elements())) throw std::runtime_error("view too big");
  return {const_cast<T*>(values.data()), DTypeOf<T>::kValue, shape};
}

inline TensorView bool_view(const std::vector<std::uint8_t>& values, const Shape& shape) {
  TensorView bytes = view(values, shape);
  bytes.dtype = DType::kBool;
  return bytes;
}

}  // namespace m2::test
