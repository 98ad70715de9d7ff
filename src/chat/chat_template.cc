#include "chat/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "chat/json_input.h"
#include "chat/messages.h"
#include "chat/output_parser.h"
#include "chat/tool_schema.h"

namespace m2::chat {
namespace {

using Json = nlohmann::ordered_json;
using jinja::Trust;
using jinja::Value;

// Template variables that requests may not set by themselves.
constexpr std::string_view kReserved[] = {"messages", "tools", "add_generation_prompt"};

void set_kwargs(jinja::Dict& context, const Json& kwargs) {
  if (kwargs.is_null()) return;
  M2_REQUIRE(ErrorCode::kInvalidArgument, kwargs.is_object(),
             "chat_template_kwargs: expected an object, got ", kwargs.type_name());
  for (const auto& [key, value] : kwargs.items()) {
    for (const std::string_view reserved : kReserved) {
      M2_REQUIRE(ErrorCode::kInvalidArgument, key != reserved, "chat_template_kwargs.", key,
                 ": this variable cannot be set here");
    }
    context.set(key, jinja::from_json(value));
  }
}

bool wants_thinking(const PromptInput& input) {
  const Json* kwarg = find_member(input.kwargs, "enable_thinking");
  return input.options.enable_thinking && (kwarg == nullptr || *kwarg != false);
}

// As transformers does: tools are none when there are none, and nothing is looked at.
PreparedMessages raw_messages(const PromptInput& input, jinja::Dict& context) {
  PreparedMessages prepared;
  prepared.messages = jinja::from_json(input.messages, Trust::kUntrusted);
  context.set("tools", jinja::from_json(input.tools, Trust::kUntrusted));
  if (input.messages.is_array() && !input.messages.empty()) {
    const Json* role = find_member(input.messages.back(), "role");
    prepared.ends_with_assistant = role != nullptr && *role == "assistant";
  }
  return prepared;
}

PreparedMessages prepared_messages(const PromptInput& input, jinja::Dict& context) {
  const Json tools = normalize_tools(input.tools);
  if (!tools.empty()) context.set("tools", jinja::from_json(tools, Trust::kUntrusted));
  return prepare_messages(input.messages, {.tool_content = input.options.tool_content,
                                           .late_system = input.options.late_system,
                                           .lenient_arguments = input.options.lenient_arguments});
}

std::vector<TextRange> text_ranges(const std::vector<jinja::ByteRange>& ranges) {
  std::vector<TextRange> result;
  result.reserve(ranges.size());
  for (const jinja::ByteRange& range : ranges) result.push_back({range.begin, range.end});
  return result;
}

void cut(std::vector<TextRange>& ranges, size_t size) {
  while (!ranges.empty() && ranges.back().begin >= size) ranges.pop_back();
  if (!ranges.empty()) ranges.back().end = std::min(ranges.back().end, size);
}

void remove_suffix(RenderedPrompt& prompt, std::string_view suffix) {
  const size_t size = prompt.text.size() - suffix.size();
  prompt.text.resize(size);
  cut(prompt.untrusted, size);
  cut(prompt.generation, size);
}

// Leaves the turn of the last message open: behind its text, or inside its thinking.
void reopen_final_turn(RenderedPrompt& prompt, const PreparedMessages& prepared,
                       const std::string& eos) {
  const std::string turn_end = eos + "\n";
  M2_REQUIRE(ErrorCode::kUnsupported, prompt.text.ends_with(turn_end),
             "continue_final_message: the template does not end the last turn with ", eos);
  remove_suffix(prompt, turn_end);
  constexpr std::string_view kThinkingEnd = "\n</think>\n\n";
  if (!prepared.ends_in_thinking || !prompt.text.ends_with(kThinkingEnd)) return;
  remove_suffix(prompt, kThinkingEnd);
  prompt.starts_in_reasoning = true;
}

}  // namespace

RenderedPrompt render_prompt(const TemplateSet& templates, const PromptInput& input) {
  const ChatRequest& options = input.options;
  const bool open_turn = options.add_generation_prompt && !options.continue_final_message;
  Value context = Value::dict();
  jinja::Dict& variables = context.as_dict();
  variables.set("bos_token", Value::string(templates.special_tokens().bos));
  variables.set("eos_token", Value::string(templates.special_tokens().eos));
  set_kwargs(variables, input.kwargs);
  const PreparedMessages prepared =
      options.raw ? raw_messages(input, variables) : prepared_messages(input, variables);
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             !options.continue_final_message || prepared.ends_with_assistant,
             "continue_final_message: expected an assistant message at the end");
  variables.set("messages", prepared.messages);
  variables.set("add_generation_prompt", Value::boolean(open_turn));

  const jinja::Template& chosen =
      templates.select(options.template_name, !input.tools.is_null() && !input.tools.empty());
  jinja::RenderResult rendered = chosen.render(context);
  RenderedPrompt prompt{.text = std::move(rendered.text),
                        .untrusted = text_ranges(rendered.untrusted),
                        .generation = text_ranges(rendered.generation),
                        .warnings = prepared.warnings};
  if (options.continue_final_message) {
    reopen_final_turn(prompt, prepared, templates.special_tokens().eos);
  } else if (open_turn && !wants_thinking(input) && prompt_ends_in_think(prompt.text)) {
    prompt.text += "\n</think>\n\n";
  }
  prompt.starts_in_reasoning = prompt.starts_in_reasoning || prompt_ends_in_think(prompt.text);
  return prompt;
}

}  // namespace m2::chat
