// The rope settings of config.json: standardising, reading, writing.
#pragma once

#include "m2/config.h"
#include "model/json_fields.h"

namespace m2 {

/// The settings as the reference keeps them, from `rope_parameters` or the legacy `rope_scaling`,
/// `rope_theta`, `partial_rotary_factor` and `original_max_position_embeddings` beside them:
/// complete with rope_type and rope_theta, whatever else stands there untouched.
/// Marks these keys as known.
Json standard_rope(JsonFields& fields, std::int64_t max_position_embeddings);

/// The dictionary that standard_rope makes as numbers. `where` is put before keys in messages.
RopeParameters read_rope(const Json& dictionary, const std::string& where);

/// Throws kInvalidArgument for a key that the type needs and that is absent; adds to `warnings`
/// what the reference warns about.
void check_rope(const Json& dictionary, const RopeParameters& rope,
                std::int64_t max_position_embeddings, const std::string& where,
                std::vector<std::string>& warnings);

/// The dictionary of `rope`; absent fields stay absent.
Json rope_json(const RopeParameters& rope);

}  // namespace m2
