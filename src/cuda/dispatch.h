// Turns an element type of the host into a template argument.
#pragma once

#include <type_traits>

#include "base/error.h"
#include "m2/dtype.h"

namespace m2::cuda {

template <DType kValue>
using DTypeTag = std::integral_constant<DType, kValue>;

/// Calls body(DTypeTag<dtype>) for a type that a weight may have.
template <typename Body>
void for_weight_type(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kF32:
      return body(DTypeTag<DType::kF32>());
    case DType::kF16:
      return body(DTypeTag<DType::kF16>());
    case DType::kBF16:
      return body(DTypeTag<DType::kBF16>());
    case DType::kF8E4M3:
      return body(DTypeTag<DType::kF8E4M3>());
    default:
      fail(ErrorCode::kInternal, "cuda: weights of type ", dtype_name(dtype));
  }
}

}  // namespace m2::cuda
