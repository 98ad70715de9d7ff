// What the contract checks of the operations share.
#pragma once

#include "m2/tensor.h"

namespace m2 {

/// Throws kInternal unless `tensor` has the dtype and the rank, and data wherever it has elements:
/// "rms_norm: input must be F32, got BF16".
void check_tensor(const char* op, const char* name, const TensorView& tensor, DType dtype,
                  int rank);

/// As check_tensor, and the shape must be the one that follows from another argument:
/// "rms_norm: weight [3072] does not match input [5, 3071]".
void check_shape(const char* op, const char* name, const TensorView& tensor, DType dtype,
                 const Shape& expected, const char* other_name, const Shape& other);

/// Throws kInternal when the two share memory.
void check_disjoint(const char* op, const char* name, const TensorView& tensor,
                    const char* other_name, const TensorView& other);

}  // namespace m2
