// JSON from outside.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "m2/error.h"

namespace m2::chat {

/// Deeper nesting is refused: everything that walks the value recurses.
inline constexpr int kMaxJsonDepth = 256;
/// More keys in one object are refused: an object that keeps the order looks keys up one by one.
inline constexpr size_t kMaxJsonKeys = 10'000;

/// Keys keep their order. Throws `code` naming `what` when the text is not JSON.
[[nodiscard]] nlohmann::ordered_json parse_json_text(std::string_view text, std::string_view what,
                                                     ErrorCode code = ErrorCode::kInvalidArgument);

/// The member `key` of an object; nullptr when it is absent, null, or `object` is something else.
[[nodiscard]] const nlohmann::ordered_json* find_member(const nlohmann::ordered_json& object,
                                                        std::string_view key);

/// What `value` is, for error messages: a type, or the text of a short string.
[[nodiscard]] std::string describe(const nlohmann::ordered_json* value);

/// Compact text, non-ASCII kept, ill-formed UTF-8 replaced.
[[nodiscard]] std::string dump_json(const nlohmann::ordered_json& value);

}  // namespace m2::chat
