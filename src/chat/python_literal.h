// Python literals, which models sometimes write instead of JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace m2::chat {

/// The JSON text (laid out as json.dumps does, non-ASCII kept) of a Python literal made of dicts,
/// lists, tuples, strings, numbers, True, False and None; nullopt for anything else. Dict keys may
/// be strings or the scalars that json.dumps turns into strings.
[[nodiscard]] std::optional<std::string> python_literal_to_json(std::string_view text);

}  // namespace m2::chat
