// JSON from outside.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace m2::chat {

/// Deeper nesting is refused: everything that walks the value recurses.
inline constexpr int kMaxJsonDepth = 256;

/// Keys keep their order. Throws kInvalidArgument naming `what` when the text is not JSON.
[[nodiscard]] nlohmann::ordered_json parse_json_text(std::string_view text, std::string_view what);

/// Compact text, non-ASCII kept, ill-formed UTF-8 replaced.
[[nodiscard]] std::string dump_json(const nlohmann::ordered_json& value);

}  // namespace m2::chat
