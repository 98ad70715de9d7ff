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

#include "m2/tokenizer.h"

namespace m2 {

// ---- Prompts ----------------------------------------------------------------------------------

/// What becomes of a tool result that is a list of text parts.
enum class ToolContent {
  kKeep,  // stays a list, which the template renders in its own form
  kJoin,  // becomes one string, joined with newlines
};

/// What becomes of system and developer messages that are not at the start.
enum class LateSystem {
  kAsUser,  // a user message in the same place
  kAppend,  // added to the system message at the start
  kError,
};

struct ChatRequest {
  /// A JSON list of messages in any of the usual forms: OpenAI's roles and content parts,
  /// tool_calls with arguments as JSON text or object, thinking under any of its names.
  std::string messages_json;
  /// A JSON list of tools in OpenAI's, a flat, or Anthropic's form; empty when there are none.
  std::string tools_json;
  /// A JSON object with more variables for the template; empty when there are none.
  std::string template_kwargs_json;

  /// Open a turn of the assistant at the end.
  bool add_generation_prompt = true;
  /// The last message is an assistant's and goes on: no generation prompt, its turn stays open.
  bool continue_final_message = false;
  /// False: the generation prompt closes the thinking part at once. The model was not trained for
  /// it. enable_thinking false in template_kwargs_json does the same.
  bool enable_thinking = true;

  ToolContent tool_content = ToolContent::kKeep;
  LateSystem late_system = LateSystem::kAsUser;
  /// Call arguments that are no JSON object become {"arguments": text} instead of an error.
  bool lenient_arguments = false;

  /// Gives messages and tools to the template exactly as they are. Then tool arguments must be
  /// objects, and nothing is checked.
  bool raw = false;
  /// One of several templates of the model; empty: "tool_use" with tools if there is one, else
  /// "default".
  std::string template_name;
};

struct RenderedPrompt {
  std::string text;
  /// Bytes that come from messages and tools: added tokens must not be recognised there.
  std::vector<TextRange> untrusted;
  /// What the template marks as the assistant's with {% generation %}.
  std::vector<TextRange> generation;
  /// The model's output begins inside the thinking part.
  bool starts_in_reasoning = false;
  /// Oddities of the request that were put right or passed over.
  std::vector<std::string> warnings;
};

/// The chat templates of a model. Immutable; render() may run on several threads.
class ChatTemplate {
 public:
  /// Reads chat_template.jinja and additional_chat_templates/*.jinja, else chat_template in
  /// tokenizer_config.json; the special tokens from there, too. Where there is none, reads the GGUF
  /// file that `path` is or has. Throws kNotFound when there is no template, kCorruptFile or
  /// kInvalidArgument when it cannot be read or parsed.
  [[nodiscard]] static ChatTemplate from_directory(const std::filesystem::path& path);

  [[nodiscard]] static ChatTemplate from_source(std::string source, std::string bos_token = "]~!b[",
                                                std::string eos_token = "[e~[");

  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  /// Throws kInvalidArgument for requests that cannot be rendered, and what the template raises.
  [[nodiscard]] RenderedPrompt render(const ChatRequest& request) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

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
