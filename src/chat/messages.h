// Messages of any client, made into what chat templates expect.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "jinja/value.h"
#include "m2/chat.h"

namespace m2::chat {

struct MessageOptions {
  ToolContent tool_content = ToolContent::kKeep;
  LateSystem late_system = LateSystem::kAsUser;
  bool lenient_arguments = false;
};

struct PreparedMessages {
  /// A list of dicts with role (system only first, else user, assistant, tool), content,
  /// reasoning_content (a string, only when given), tool_calls and the client's other fields.
  /// All text is marked untrusted.
  jinja::Value messages;
  std::vector<std::string> warnings;
  bool ends_with_assistant = false;
  /// The last message is an assistant's thinking without content and calls.
  bool ends_in_thinking = false;
};

/// Throws kInvalidArgument naming the message and field.
[[nodiscard]] PreparedMessages prepare_messages(const nlohmann::ordered_json& messages,
                                                const MessageOptions& options = {});

}  // namespace m2::chat
