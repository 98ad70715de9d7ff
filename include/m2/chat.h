// Chat: messages in, prompt out; model text in, reasoning, content and tool calls out.
//
// JSON passes as text (UTF-8), so that no JSON library shows here. Every function throws m2::Error
// with kInvalidArgument when such a text is malformed or says something that the model cannot take;
// the message names the place, for example "messages[2].content[0].type: expected text, got ...".
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace m2 {

// ---- Model output -----------------------------------------------------------------------------

/// More text of the thinking part.
struct ReasoningDelta {
  std::string text;
  bool operator==(const ReasoningDelta&) const = default;
};

/// More text of the visible answer.
struct ContentDelta {
  std::string text;
  bool operator==(const ContentDelta&) const = default;
};

/// A tool call begins. `index` counts the calls of one output from 0.
struct ToolCallStart {
  int index = 0;
  std::string id;  // "call_" and 24 letters or digits
  std::string name;
  bool operator==(const ToolCallStart&) const = default;
};

/// More text of the call's arguments; all pieces together are one JSON object.
struct ToolCallArguments {
  int index = 0;
  std::string text;
  bool operator==(const ToolCallArguments&) const = default;
};

/// The call is complete.
struct ToolCallEnd {
  int index = 0;
  bool operator==(const ToolCallEnd&) const = default;
};

using ChatEvent =
    std::variant<ReasoningDelta, ContentDelta, ToolCallStart, ToolCallArguments, ToolCallEnd>;

/// Why generation ended.
enum class OutputEnd {
  kStop,    // end token, stop string, or ended by ChatParser::should_stop()
  kLength,  // token limit
};

/// What happens to white space at the ends of a parameter value.
enum class TrimValues {
  kOff,       // kept verbatim
  kNewlines,  // one leading and one trailing newline removed
  kStrip,     // all white space at both ends removed
};

/// What happens to a call of a tool that the request did not declare.
enum class UnknownTools {
  kForward,  // reported like any other call
  kDrop,     // left out
  kContent,  // its text becomes content
};

struct ChatParserOptions {
  /// The request's tools as a JSON list; empty or "[]" when there are none.
  std::string tools_json;
  /// False with tool_choice "none": calls are then plain text.
  bool tools_active = true;
  /// False: <think> and </think> are plain text and everything is content.
  bool parse_reasoning = true;
  /// RenderedPrompt::starts_in_reasoning of the prompt.
  bool starts_in_reasoning = true;
  TrimValues trim_values = TrimValues::kOff;
  UnknownTools unknown_tools = UnknownTools::kForward;
  /// False: the output ends with its first call.
  bool parallel_tool_calls = true;
  /// Source of call ids; random ones by default.
  std::function<std::string()> next_call_id;
};

/// Splits the output of one generation while it comes. The concatenated events do not depend on how
/// the text was cut; text is held back only while it may still become part of a tag (or of white
/// space that is not reported at the ends). Time is linear in the length of the text.
/// Not thread-safe; one object per output.
class ChatParser {
 public:
  explicit ChatParser(ChatParserOptions options = {});
  ~ChatParser();
  ChatParser(ChatParser&&) noexcept;
  ChatParser& operator=(ChatParser&&) noexcept;

  /// Takes more text (whole code points) and returns what it makes certain.
  [[nodiscard]] std::vector<ChatEvent> feed(std::string_view text);

  /// Declares the end of the output. Nothing may be fed afterwards.
  [[nodiscard]] std::vector<ChatEvent> finish(OutputEnd end);

  /// True once nothing that follows can be reported: with parallel_tool_calls false after the first
  /// call. Generation should stop, with OutputEnd::kStop.
  [[nodiscard]] bool should_stop() const;

  /// "stop", "length" or "tool_calls"; meaningful after finish().
  [[nodiscard]] std::string_view finish_reason() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Parses a whole output into {"role":"assistant","content","reasoning_content","tool_calls"?,
/// "finish_reason"} with the calls in the form of the OpenAI chat API.
[[nodiscard]] std::string parse_chat_output(std::string_view text, const ChatParserOptions& options,
                                            OutputEnd end = OutputEnd::kStop);

/// Feeds the chunks one by one and reports the events of each: {"after_each_chunk":
/// [[event...]...], "at_end": [event...]}, an event being ["reasoning", text], ["content", text],
/// ["call", index, name], ["args", index, text] or ["end", index].
[[nodiscard]] std::string parse_chat_chunks(std::span<const std::string> chunks,
                                            const ChatParserOptions& options,
                                            OutputEnd end = OutputEnd::kStop);

}  // namespace m2
