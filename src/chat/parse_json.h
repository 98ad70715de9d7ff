// Parsed output as JSON: the message of the OpenAI chat API, and event lists.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "m2/chat.h"

namespace m2::chat {

/// {"role": "assistant", "content", "reasoning_content", "tool_calls"?} of all events of an output.
/// content and reasoning_content are null when there is no such text; tool_calls is absent when
/// there are none.
[[nodiscard]] nlohmann::ordered_json assistant_message(std::span<const ChatEvent> events);

/// ["reasoning", text], ["content", text], ["call", index, name], ["args", index, text],
/// ["end", index].
[[nodiscard]] nlohmann::ordered_json events_json(std::span<const ChatEvent> events);

}  // namespace m2::chat
