#include "ops/contract.h"

#include <cstdint>

#include "base/error.h"

namespace m2 {

void check_tensor(const char* op, const char* name, const TensorView& tensor, DType dtype,
                  int rank) {
  M2_CHECK(tensor.dtype == dtype, op, ": ", name, " must be ", dtype_name(dtype), ", got ",
           dtype_name(tensor.dtype));
  M2_CHECK(tensor.shape.rank() == rank, op, ": ", name, " must have ", rank, " dimensions, got ",
           tensor.shape);
  M2_CHECK(tensor.present() || tensor.num_elements() == 0, op, ": ", name, " ", tensor.shape,
           " has no data");
}

void check_shape(const char* op, const char* name, const TensorView& tensor, DType dtype,
                 const Shape& expected, const char* other_name, const Shape& other) {
  check_tensor(op, name, tensor, dtype, expected.rank());
  M2_CHECK(tensor.shape == expected, op, ": ", name, " ", tensor.shape, " does not match ",
           other_name, " ", other);
}

void check_disjoint(const char* op, const char* name, const TensorView& tensor,
                    const char* other_name, const TensorView& other) {
  const auto begin = reinterpret_cast<std::uintptr_t>(tensor.data);
  const auto other_begin = reinterpret_cast<std::uintptr_t>(other.data);
  const bool apart =
      begin + tensor.num_bytes() <= other_begin || other_begin + other.num_bytes() <= begin;
  M2_CHECK(apart, op, ": ", name, " overlaps ", other_name);
}

}  // namespace m2
