#include "service/chat_session.h"

#include <utility>

#include "base/error.h"
#include "chat/parse_json.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

// A call that was cut off has no complete arguments; the history keeps complete ones only.
std::vector<ToolCall> keep_complete_calls(Json& message) {
  std::vector<ToolCall> complete;
  if (!message.contains("tool_calls")) return complete;
  Json kept = Json::array();
  for (const Json& call : message["tool_calls"]) {
    const auto arguments = call["function"]["arguments"].get<std::string>();
    if (!Json::parse(arguments, nullptr, /*allow_exceptions=*/false).is_object()) continue;
    complete.push_back({call["id"], call["function"]["name"], arguments});
    kept.push_back(call);
  }
  if (kept.empty()) {
    message.erase("tool_calls");
  } else {
    message["tool_calls"] = std::move(kept);
  }
  return complete;
}

}  // namespace

ChatSession::ChatSession(TextGenerator& generator, ChatTemplate chat_template,
                         ChatSessionOptions options)
    : generator_(generator), template_(std::move(chat_template)), options_(std::move(options)) {
  clear();
}

void ChatSession::clear() {
  messages_ = Json::array();
  if (!options_.system.empty()) {
    messages_.push_back({{"role", "system"}, {"content", options_.system}});
  }
}

bool ChatSession::undo() {
  for (std::size_t i = messages_.size(); i-- > 0;) {
    if (messages_[i]["role"] != "user") continue;
    messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(i), messages_.end());
    return true;
  }
  return false;
}

void ChatSession::add_user(const std::string& text) {
  messages_.push_back({{"role", "user"}, {"content", text}});
}

void ChatSession::add_messages(const Json& messages) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, messages.is_array() && !messages.empty(),
             "messages: expected a list of at least one message, got ",
             messages.is_array() ? "an empty list" : messages.type_name());
  messages_.insert(messages_.end(), messages.begin(), messages.end());
}

void ChatSession::add_tool_result(const std::string& call_id, const std::string& result) {
  messages_.push_back({{"role", "tool"}, {"tool_call_id", call_id}, {"content", result}});
}

RenderedPrompt ChatSession::render() const {
  ChatRequest request;
  request.messages_json = messages_.dump(-1, ' ', false, Json::error_handler_t::replace);
  request.tools_json = options_.tools_json;
  request.enable_thinking = options_.enable_thinking;
  return template_.render(request);
}

std::string ChatSession::prompt() const { return render().text; }

ChatReply ChatSession::reply(const GenerationConfig& call, const OnEvent& on_event,
                             const std::stop_token& stop) {
  const RenderedPrompt prompt = render();
  const auto ids =
      generator_.loaded().tokenizer().encode_ids(TextInput(prompt.text, prompt.untrusted));
  ChatParserOptions parser_options;
  parser_options.tools_json = options_.tools_json;
  parser_options.starts_in_reasoning = prompt.starts_in_reasoning;
  ChatParser parser(std::move(parser_options));
  std::vector<ChatEvent> events;
  const auto take = [&](std::vector<ChatEvent> fresh) {
    for (ChatEvent& event : fresh) {
      if (on_event) on_event(event);
      events.push_back(std::move(event));
    }
  };

  TextResult result = generator_.generate(
      ids, call,
      [&](std::string_view text) {
        take(parser.feed(text));
        return !parser.should_stop();
      },
      stop);
  const bool cancelled = result.finish_reason == FinishReason::kCancelled;
  const bool complete = result.finish_reason == FinishReason::kStop;
  take(parser.finish(complete ? OutputEnd::kStop : OutputEnd::kLength));

  ChatReply reply = {.message = chat::assistant_message(events),
                     .finish_reason = std::string(cancelled ? "cancelled" : parser.finish_reason()),
                     .timings = result.timings,
                     .warnings = prompt.warnings};
  std::ranges::move(result.warnings, std::back_inserter(reply.warnings));
  reply.tool_calls = keep_complete_calls(reply.message);
  messages_.push_back(reply.message);
  return reply;
}

}  // namespace m2
