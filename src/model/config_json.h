// Reading of config.json: types of values, both forms of the rope settings, unknown keys.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "m2/config.h"

namespace m2 {

/// The config as the text gives it, not yet validated. `file` names the text in messages about it.
MiniMaxM2Config read_config(std::string_view text, const std::string& file,
                            const ConfigOptions& options);

/// The partial factor that gives exactly `rotary_dim` when multiplied and truncated.
double partial_factor_of(std::int64_t rotary_dim, std::int64_t head_dim);

/// The object at `quantization_config`. `where` is put before keys in messages.
QuantizationConfig read_quantization(const nlohmann::ordered_json& value, const std::string& where);

}  // namespace m2
