#include "chat/messages.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "chat/call_input.h"
#include "chat/json_input.h"
#include "chat/message_content.h"
#include "chat/result_order.h"

namespace m2::chat {
namespace {

using Json = nlohmann::ordered_json;
using jinja::Trust;
using jinja::Value;

struct Message {
  size_t index = 0;  // in the client's list
  std::string role;
  Json content;
  std::optional<std::string> reasoning;
  std::vector<CallInput> calls;
  std::string call_id;        // of a tool message
  std::string function_name;  // of a tool message that has the role function
  Json other = Json::object();
};

std::string place(size_t index) { return concat("messages[", index, "]"); }

bool is_system(const Message& message) { return message.role == "system"; }

std::string normalize_role(const Json& message, const std::string& where) {
  const Json* role = find_member(message, "role");
  const std::string name = role != nullptr && role->is_string() ? role->get<std::string>() : "";
  if (name == "developer") return "system";
  if (name == "function") return "tool";
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             name == "system" || name == "user" || name == "assistant" || name == "tool", where,
             ".role: expected system, developer, user, assistant, tool or function, got ",
             describe(role));
  return name;
}

std::string optional_string(const Json& message, const char* key, const std::string& where) {
  const Json* value = find_member(message, key);
  if (value == nullptr) return {};
  M2_REQUIRE(ErrorCode::kInvalidArgument, value->is_string(), where, ".", key,
             ": expected a string, got ", value->type_name());
  return value->get<std::string>();
}

// Fields that have their own place in Message, or that the model does not know.
bool is_known_field(std::string_view key) {
  constexpr std::string_view kKnown[] = {"role",       "content",          "name",
                                         "tool_calls", "function_call",    "reasoning_content",
                                         "reasoning",  "reasoning_details"};
  return std::find(std::begin(kKnown), std::end(kKnown), key) != std::end(kKnown);
}

Message read_message(const Json& json, size_t index, const MessageOptions& options) {
  const std::string where = place(index);
  M2_REQUIRE(ErrorCode::kInvalidArgument, json.is_object(), where, ": expected an object, got ",
             json.type_name());
  Message message;
  message.index = index;
  message.role = normalize_role(json, where);
  message.content = normalize_content(json, message.role, where);
  if (message.role == "assistant") {
    message.reasoning = message_reasoning(json, where);
    message.calls = read_calls(
        json, options.lenient_arguments ? BadArguments::kWrap : BadArguments::kError, where);
  } else if (message.role == "tool") {
    if (options.tool_content == ToolContent::kJoin) {
      message.content = join_text_list(std::move(message.content));
    }
    message.call_id = optional_string(json, "tool_call_id", where);
    if (*find_member(json, "role") == "function") {
      message.function_name = optional_string(json, "name", where);
    }
  }
  for (const auto& [key, value] : json.items()) {
    if (!is_known_field(key)) message.other[key] = value;
  }
  return message;
}

// Adds the text behind that of the system message; its other fields as far as they are new.
void append_system(Message& system, const Message& addition) {
  if (!system.content.is_string()) system.content = content_text(system.content);
  auto& text = system.content.get_ref<std::string&>();
  const std::string more = content_text(addition.content);
  if (!text.empty() && !more.empty()) text += "\n\n";
  text += more;
  for (const auto& [key, value] : addition.other.items()) {
    if (!system.other.contains(key)) system.other[key] = value;
  }
}

// Leaves at most one system message, the first.
std::vector<Message> merge_system(std::vector<Message> messages, LateSystem late_system) {
  std::vector<Message> merged;
  bool at_start = true;
  for (Message& message : messages) {
    at_start = at_start && is_system(message);
    if (!is_system(message) || (at_start && merged.empty())) {
      merged.push_back(std::move(message));
    } else if (at_start || late_system == LateSystem::kAppend) {
      if (!is_system(merged.front())) {
        message.content = content_text(message.content);
        merged.insert(merged.begin(), std::move(message));
      } else {
        append_system(merged.front(), message);
      }
    } else {
      M2_REQUIRE(ErrorCode::kInvalidArgument, late_system == LateSystem::kAsUser,
                 place(message.index), ".role: expected a system message only at the start");
      message.role = "user";
      merged.push_back(std::move(message));
    }
  }
  return merged;
}

// Sorts the results after each assistant message to the order of its calls: the model sees no ids
// and matches by position.
void sort_results(std::vector<Message>& messages, std::vector<std::string>& warnings) {
  ResultOrder order(warnings);
  for (size_t begin = 0; begin < messages.size();) {
    if (messages[begin].role == "assistant") {
      order.set_caller(place(messages[begin].index), messages[begin].calls);
    }
    size_t end = begin;
    std::vector<std::pair<size_t, size_t>> positions;  // of the call, of the result
    for (; end < messages.size() && messages[end].role == "tool"; ++end) {
      const Message& result = messages[end];
      positions.emplace_back(
          order.position({place(result.index), result.call_id, result.function_name}), end);
    }
    std::sort(positions.begin(), positions.end());
    std::vector<Message> sorted;
    for (const auto& [call, result] : positions) sorted.push_back(std::move(messages[result]));
    std::move(sorted.begin(), sorted.end(), messages.begin() + static_cast<std::ptrdiff_t>(begin));
    begin = std::max(end, begin + 1);
  }
  order.warn_unanswered();
}

Value untrusted(std::string text) { return Value::string(std::move(text), Trust::kUntrusted); }

Value call_value(CallInput call) {
  Value function = Value::dict();
  function.as_dict().set("name", untrusted(std::move(call.name)));
  function.as_dict().set("arguments", std::move(call.arguments));
  Value value = Value::dict();
  if (!call.id.empty()) value.as_dict().set("id", untrusted(std::move(call.id)));
  value.as_dict().set("type", Value::string("function"));
  value.as_dict().set("function", std::move(function));
  return value;
}

Value message_value(Message message) {
  Value value = Value::dict();
  jinja::Dict& dict = value.as_dict();
  dict.set("role", Value::string(message.role));
  dict.set("content", jinja::from_json(message.content, Trust::kUntrusted));
  if (message.reasoning) dict.set("reasoning_content", untrusted(*std::move(message.reasoning)));
  if (!message.calls.empty()) {
    std::vector<Value> calls;
    for (CallInput& call : message.calls) calls.push_back(call_value(std::move(call)));
    dict.set("tool_calls", Value::list(std::move(calls)));
  }
  for (const auto& [key, field] : message.other.items()) {
    dict.set(untrusted(key), jinja::from_json(field, Trust::kUntrusted));
  }
  return value;
}

bool is_unfinished_thinking(const Message& message) {
  return message.role == "assistant" && message.reasoning && !message.reasoning->empty() &&
         message.calls.empty() && content_text(message.content).empty();
}

}  // namespace

PreparedMessages prepare_messages(const Json& messages, const MessageOptions& options) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, messages.is_array() && !messages.empty(),
             "messages: expected a list with at least one message, got ",
             messages.is_array() ? "an empty one" : messages.type_name());
  std::vector<Message> read;
  read.reserve(messages.size());
  for (size_t i = 0; i < messages.size(); ++i)
    read.push_back(read_message(messages[i], i, options));
  read = merge_system(std::move(read), options.late_system);
  PreparedMessages prepared;
  sort_results(read, prepared.warnings);
  prepared.ends_with_assistant = read.back().role == "assistant";
  prepared.ends_in_thinking = is_unfinished_thinking(read.back());
  std::vector<Value> values;
  values.reserve(read.size());
  for (Message& message : read) values.push_back(message_value(std::move(message)));
  prepared.messages = Value::list(std::move(values));
  return prepared;
}

}  // namespace m2::chat
