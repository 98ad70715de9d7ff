// A conversation: messages in, streamed events out, the history kept as M2 needs it.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <vector>

#include "m2/chat.h"
#include "m2/generation_config.h"
#include "service/text_generation.h"

namespace m2 {

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments_json;
};

struct ChatReply {
  /// The message as it stands in the history: role, content, reasoning_content, tool_calls.
  nlohmann::ordered_json message;
  std::vector<ToolCall> tool_calls;  // complete ones, to be answered with add_tool_result
  std::string finish_reason;         // "stop", "length", "tool_calls" or "cancelled"
  GenerationTimings timings;
  std::vector<std::string> warnings;
};

struct ChatSessionOptions {
  std::string tools_json;  // a JSON list, empty without tools
  std::string system;      // empty: the template's own identity
  bool enable_thinking = true;
};

/// The thinking stays in the history (the template drops it where it must); texts of messages and
/// tool results cannot forge turn markers. One thread at a time.
class ChatSession {
 public:
  using OnEvent = std::function<void(const ChatEvent&)>;

  /// The generator must live longer than the session.
  ChatSession(TextGenerator& generator, ChatTemplate chat_template, ChatSessionOptions options);

  void add_user(const std::string& text);
  /// Appends a conversation: a JSON list of messages in any form that ChatRequest takes. Throws
  /// kInvalidArgument when it is no list; what a message lacks is found by reply().
  void add_messages(const nlohmann::ordered_json& messages);
  void add_tool_result(const std::string& call_id, const std::string& result);

  /// Generates the assistant's next message, reports its events as they come and appends it. When
  /// this throws, the history is as before.
  ChatReply reply(const GenerationConfig& call, const OnEvent& on_event,
                  const std::stop_token& stop = {});

  /// Forgets everything but the system message.
  void clear();
  /// Forgets the last user message and what followed it. False when there is none.
  bool undo();

  [[nodiscard]] const nlohmann::ordered_json& messages() const { return messages_; }
  /// The prompt that the next reply would begin from.
  [[nodiscard]] std::string prompt() const;

 private:
  [[nodiscard]] RenderedPrompt render() const;

  TextGenerator& generator_;
  ChatTemplate template_;
  ChatSessionOptions options_;
  nlohmann::ordered_json messages_ = nlohmann::ordered_json::array();
};

}  // namespace m2
