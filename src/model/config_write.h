// Writing the configuration in the reference's form.
#pragma once

#include <string_view>

#include "m2/config.h"
#include "model/json_fields.h"

namespace m2 {

/// Every key that the reference always writes, with the value of `config`; dtype, architectures,
/// quantization_config and the generic flags only where they are set.
Json class_fields(const MiniMaxM2Config& config);

/// True when both would be written as the same text, but for the order of keys.
bool same_text(const Json& a, const Json& b);

/// True for the keys of GenerationConfig that have no place in a model's config.
bool is_generation_parameter(std::string_view key);

}  // namespace m2
