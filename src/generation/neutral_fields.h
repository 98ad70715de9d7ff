// Fields of generation_config.json that have no effect here: they belong to modes that are not
// done, or are metadata.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace m2::generation {

/// Keeps a field's JSON text in `neutral` (a null removes it). False if there is no such field.
/// Throws kUnsupported, naming the mode, for a value that asks for one.
bool read_neutral_field(const std::string& name, const nlohmann::json& value,
                        std::map<std::string, std::string>& neutral);

bool is_metadata(std::string_view name);

/// An argument of generate(), which no configuration may hold.
bool is_call_argument(std::string_view name);

}  // namespace m2::generation
