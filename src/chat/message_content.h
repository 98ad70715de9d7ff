// The content of one message in any client's form.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "m2/chat.h"

namespace m2::chat {

/// A string, or a list of strings and {"type": "text", "text": ...}; absent and null give "".
/// Thinking blocks of assistant messages are left out. Other parts throw kInvalidArgument naming
/// `where`. Lists of tool messages may also hold items that the template prints as they are.
[[nodiscard]] nlohmann::ordered_json normalize_content(const nlohmann::ordered_json& message,
                                                       std::string_view role,
                                                       const std::string& where);

/// The text of normalised content, list items joined without a separator.
[[nodiscard]] std::string content_text(const nlohmann::ordered_json& content);

/// Of a list that holds only text the items joined with newlines, everything else unchanged.
[[nodiscard]] nlohmann::ordered_json join_text_list(nlohmann::ordered_json content);

/// The thinking of an assistant message: the first present of reasoning_content, reasoning, the
/// reasoning.text items of reasoning_details, and thinking blocks of the content.
[[nodiscard]] std::optional<std::string> message_reasoning(const nlohmann::ordered_json& message,
                                                           const std::string& where);

}  // namespace m2::chat
