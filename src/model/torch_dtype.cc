#include "model/torch_dtype.h"

#include "base/error.h"

namespace m2 {

std::optional<DType> weight_dtype(std::string_view name) {
  if (name == "float32" || name == "float") return DType::kF32;
  if (name == "float16" || name == "half") return DType::kF16;
  if (name == "bfloat16") return DType::kBF16;
  return std::nullopt;
}

std::string torch_dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "float32";
    case DType::kF16:
      return "float16";
    case DType::kBF16:
      return "bfloat16";
    case DType::kF64:
      return "float64";
    case DType::kF8E4M3:
      return "float8_e4m3fn";
    default:
      fail(ErrorCode::kInternal, "torch_dtype_name: ", dtype_name(dtype));
  }
}

}  // namespace m2
