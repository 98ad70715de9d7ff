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

void check_cache(const char* op, const TensorView& key_cache, const TensorView& value_cache) {
  M2_CHECK(key_cache.dtype == DType::kF32 || key_cache.dtype == DType::kBF16, op,
           ": key_cache must be F32 or BF16, got ", dtype_name(key_cache.dtype));
  check_tensor(op, "key_cache", key_cache, key_cache.dtype, 4);
  check_shape(op, "value_cache", value_cache, key_cache.dtype, key_cache.shape, "key_cache",
              key_cache.shape);
}

}  // namespace m2
