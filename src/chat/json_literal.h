// JSON text rewritten the way Python's json.dumps(..., ensure_ascii=False) lays it out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace m2::chat {

/// Deeper nesting is refused, as text that is no JSON or Python literal.
inline constexpr int kMaxLiteralDepth = 256;

/// Appends `text` as the inside of a JSON string: \" \\ \n \r \t \b \f, other controls \u00xx,
/// everything else as it is.
void append_json_escaped(std::string& out, std::string_view text);

/// `text` as one JSON string with its quotes.
[[nodiscard]] std::string json_string(std::string_view text);

/// Rewrites one JSON value (RFC 8259) with ", " and ": ". Keys keep their order, numbers their
/// characters; lone surrogate escapes become U+FFFD. nullopt when `text` is not valid JSON.
[[nodiscard]] std::optional<std::string> rewrite_json(std::string_view text);

}  // namespace m2::chat
