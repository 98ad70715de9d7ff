// The chat templates that come with a model, and prompts rendered with them.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "jinja/template.h"
#include "m2/chat.h"

namespace m2::chat {

struct SpecialTokens {
  std::string bos = "]~!b[";
  std::string eos = "[e~[";
};

/// One or more named templates of a model.
class TemplateSet {
 public:
  TemplateSet(std::map<std::string, jinja::Template, std::less<>> templates, SpecialTokens tokens);

  /// See ChatTemplate::from_directory.
  [[nodiscard]] static TemplateSet load(const std::filesystem::path& path);

  /// `name` may be empty: then tool_use with tools if there is one, else default, else the only
  /// one. Throws kNotFound.
  [[nodiscard]] const jinja::Template& select(std::string_view name, bool has_tools) const;

  using Templates = std::map<std::string, jinja::Template, std::less<>>;
  [[nodiscard]] const Templates& templates() const { return templates_; }
  [[nodiscard]] const SpecialTokens& special_tokens() const { return tokens_; }

 private:
  std::map<std::string, jinja::Template, std::less<>> templates_;
  SpecialTokens tokens_;
};

/// The same as ChatRequest with the JSON parsed; the texts in `options` are not looked at.
struct PromptInput {
  const nlohmann::ordered_json& messages;
  const nlohmann::ordered_json& tools;   // null when there are none
  const nlohmann::ordered_json& kwargs;  // null when there are none
  const ChatRequest& options;
};

[[nodiscard]] RenderedPrompt render_prompt(const TemplateSet& templates, const PromptInput& input);

}  // namespace m2::chat
