#include "chat/parse_json.h"

#include <nlohmann/json.hpp>

namespace m2::chat {
namespace {

using Json = nlohmann::ordered_json;

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

void append(Json& text, const std::string& delta) {
  if (text.is_null()) text = "";
  text.get_ref<std::string&>() += delta;
}

}  // namespace

Json assistant_message(std::span<const ChatEvent> events) {
  Json message = {{"role", "assistant"}, {"content", nullptr}, {"reasoning_content", nullptr}};
  Json calls = Json::array();
  const auto visit = Overloaded{
      [&](const ReasoningDelta& delta) { append(message["reasoning_content"], delta.text); },
      [&](const ContentDelta& delta) { append(message["content"], delta.text); },
      [&](const ToolCallStart& start) {
        calls.push_back({{"id", start.id},
                         {"type", "function"},
                         {"function", {{"name", start.name}, {"arguments", ""}}}});
      },
      [&](const ToolCallArguments& delta) {
        append(calls.at(static_cast<size_t>(delta.index)).at("function").at("arguments"),
               delta.text);
      },
      [](const ToolCallEnd&) {},
  };
  for (const ChatEvent& event : events) std::visit(visit, event);
  if (!calls.empty()) message["tool_calls"] = std::move(calls);
  return message;
}

Json events_json(std::span<const ChatEvent> events) {
  const auto to_json = Overloaded{
      [](const ReasoningDelta& delta) {
        return Json::array({"reasoning", delta.text});
      },
      [](const ContentDelta& delta) {
        return Json::array({"content", delta.text});
      },
      [](const ToolCallStart& start) {
        return Json::array({"call", start.index, start.name});
      },
      [](const ToolCallArguments& delta) {
        return Json::array({"args", delta.index, delta.text});
      },
      [](const ToolCallEnd& end) {
        return Json::array({"end", end.index});
      },
  };
  Json list = Json::array();
  for (const ChatEvent& event : events) list.push_back(std::visit(to_json, event));
  return list;
}

}  // namespace m2::chat
