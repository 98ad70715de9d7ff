// The public API over the parser and the template.
#include "m2/chat.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "chat/chat_template.h"
#include "chat/json_input.h"
#include "chat/output_parser.h"
#include "chat/parse_json.h"
#include "chat/tool_schema.h"

namespace m2 {
namespace {

nlohmann::ordered_json parse_optional(const std::string& text, std::string_view what) {
  return text.empty() ? nlohmann::ordered_json() : chat::parse_json_text(text, what);
}

chat::OutputParserOptions parser_options(ChatParserOptions options) {
  chat::OutputParserOptions result;
  const auto tools = chat::normalize_tools(parse_optional(options.tools_json, "tools"));
  result.calls.tools = std::make_shared<chat::ToolSchemas>(tools);
  result.tools_active = options.tools_active && !tools.empty();
  result.parse_reasoning = options.parse_reasoning;
  result.starts_in_reasoning = options.starts_in_reasoning;
  result.calls.trim_values = options.trim_values;
  result.calls.unknown_tools = options.unknown_tools;
  result.calls.parallel_tool_calls = options.parallel_tool_calls;
  result.calls.next_call_id = std::move(options.next_call_id);
  return result;
}

}  // namespace

struct ChatTemplate::Impl {
  chat::TemplateSet templates;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

ChatTemplate ChatTemplate::from_directory(const std::filesystem::path& path) {
  return ChatTemplate(std::make_unique<Impl>(Impl{chat::TemplateSet::load(path)}));
}

ChatTemplate ChatTemplate::from_source(std::string source, std::string bos_token,
                                       std::string eos_token) {
  std::map<std::string, jinja::Template, std::less<>> templates;
  templates.emplace("default", jinja::Template::parse(std::move(source)));
  return ChatTemplate(std::make_unique<Impl>(Impl{chat::TemplateSet(
      std::move(templates), {.bos = std::move(bos_token), .eos = std::move(eos_token)})}));
}

RenderedPrompt ChatTemplate::render(const ChatRequest& request) const {
  const auto messages = chat::parse_json_text(request.messages_json, "messages");
  const auto tools = parse_optional(request.tools_json, "tools");
  const auto kwargs = parse_optional(request.template_kwargs_json, "chat_template_kwargs");
  return chat::render_prompt(
      impl_->templates,
      {.messages = messages, .tools = tools, .kwargs = kwargs, .options = request});
}

struct ChatParser::Impl {
  explicit Impl(ChatParserOptions options) : parser(parser_options(std::move(options))) {}
  chat::OutputParser parser;
};

ChatParser::ChatParser(ChatParserOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
ChatParser::~ChatParser() = default;
ChatParser::ChatParser(ChatParser&&) noexcept = default;
ChatParser& ChatParser::operator=(ChatParser&&) noexcept = default;

std::vector<ChatEvent> ChatParser::feed(std::string_view text) { return impl_->parser.feed(text); }

std::vector<ChatEvent> ChatParser::finish(OutputEnd end) { return impl_->parser.finish(end); }

bool ChatParser::should_stop() const { return impl_->parser.should_stop(); }

std::string_view ChatParser::finish_reason() const { return impl_->parser.finish_reason(); }

std::string parse_chat_output(std::string_view text, const ChatParserOptions& options,
                              OutputEnd end) {
  ChatParser parser(options);
  std::vector<ChatEvent> events = parser.feed(text);
  for (ChatEvent& event : parser.finish(end)) events.push_back(std::move(event));
  nlohmann::ordered_json message = chat::assistant_message(events);
  message["finish_reason"] = parser.finish_reason();
  return chat::dump_json(message);
}

std::string parse_chat_chunks(std::span<const std::string> chunks, const ChatParserOptions& options,
                              OutputEnd end) {
  ChatParser parser(options);
  nlohmann::ordered_json after_each = nlohmann::ordered_json::array();
  for (const std::string& chunk : chunks) {
    after_each.push_back(chat::events_json(parser.feed(chunk)));
  }
  const nlohmann::ordered_json at_end = chat::events_json(parser.finish(end));
  return chat::dump_json({{"after_each_chunk", after_each}, {"at_end", at_end}});
}

}  // namespace m2
