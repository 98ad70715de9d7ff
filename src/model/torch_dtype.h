// The names that torch and config.json use for types.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "m2/dtype.h"

namespace m2 {

/// The type of weights that "bfloat16", "float16", "half", "float32" or "float" means.
std::optional<DType> weight_dtype(std::string_view name);

/// "bfloat16", "float8_e4m3fn", ...
std::string torch_dtype_name(DType dtype);

}  // namespace m2
