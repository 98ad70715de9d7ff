// Rendering prompts in tests.
#pragma once

#include <optional>
#include <string>

#include "m2/chat.h"
#include "support/paths.h"

namespace m2::test {

/// The template of the shipped model, which follows MiniMax-M2's.
inline const ChatTemplate& shipped_template() {
  static const ChatTemplate chat_template = ChatTemplate::from_directory(shipped_model());
  return chat_template;
}

/// A published template; nullopt where the file is absent.
inline std::optional<ChatTemplate> published_template(const std::string& name) {
  const auto path = external_data("minimax-m2/" + name);
  if (!path) return std::nullopt;
  return ChatTemplate::from_source(read_file(*path));
}

/// What a template that prints its messages (or `variable`) as JSON makes of the request.
inline std::string prepared_json(const ChatRequest& request,
                                 const std::string& variable = "messages") {
  return ChatTemplate::from_source("{{ " + variable + " | tojson }}").render(request).text;
}

inline std::string prepared_json(const std::string& messages) {
  return prepared_json(ChatRequest{.messages_json = messages});
}

}  // namespace m2::test
