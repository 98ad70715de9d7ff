// Running the output parser in tests.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "m2/chat.h"

namespace m2::test {

/// The tools f{a: string, b: integer, c: object} and g{}.
inline constexpr std::string_view kTools = R"([
  {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {
    "a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object"}}}}},
  {"type": "function", "function": {"name": "g", "parameters": {"type": "object",
    "properties": {}}}}])";

inline ChatParserOptions options_with_tools() {
  ChatParserOptions options;
  options.tools_json = kTools;
  options.next_call_id = [] { return std::string("id"); };
  return options;
}

/// An output parsed, in a form that reads well in a comparison.
struct Parsed {
  std::string reasoning;
  std::string content;
  /// Of each call: name, arguments, and "." when it was completed.
  std::vector<std::string> calls;
  std::string finish_reason;

  bool operator==(const Parsed&) const = default;
};

inline void PrintTo(const Parsed& parsed, std::ostream* out) {
  *out << "reasoning [" << parsed.reasoning << "] content [" << parsed.content << "]";
  for (const std::string& call : parsed.calls) *out << " call [" << call << "]";
  *out << " " << parsed.finish_reason;
}

inline void collect(Parsed& parsed, const std::vector<ChatEvent>& events) {
  for (const ChatEvent& event : events) {
    if (const auto* reasoning = std::get_if<ReasoningDelta>(&event)) {
      parsed.reasoning += reasoning->text;
    } else if (const auto* content = std::get_if<ContentDelta>(&event)) {
      parsed.content += content->text;
    } else if (const auto* start = std::get_if<ToolCallStart>(&event)) {
      parsed.calls.push_back(start->name + " ");
    } else if (const auto* arguments = std::get_if<ToolCallArguments>(&event)) {
      parsed.calls.at(static_cast<size_t>(arguments->index)) += arguments->text;
    } else {
      parsed.calls.at(static_cast<size_t>(std::get<ToolCallEnd>(event).index)) += " .";
    }
  }
}

/// Feeds the pieces one by one.
inline Parsed parse_pieces(const std::vector<std::string_view>& pieces,
                           const ChatParserOptions& options, OutputEnd end = OutputEnd::kStop) {
  ChatParser parser(options);
  Parsed parsed;
  for (const std::string_view piece : pieces) collect(parsed, parser.feed(piece));
  collect(parsed, parser.finish(end));
  parsed.finish_reason = parser.finish_reason();
  return parsed;
}

inline Parsed parse(std::string_view text, const ChatParserOptions& options = options_with_tools(),
                    OutputEnd end = OutputEnd::kStop) {
  return parse_pieces({text}, options, end);
}

}  // namespace m2::test
