// The streaming parser of the model's output: reasoning, content and tool calls.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "chat/event_list.h"
#include "chat/pending_text.h"
#include "chat/tag_lookahead.h"
#include "chat/text_channel.h"
#include "chat/tool_call_parser.h"
#include "m2/chat.h"

namespace m2::chat {

/// Whether output after this prompt begins inside the thinking part: the prompt ends with <think>
/// and white space.
[[nodiscard]] bool prompt_ends_in_think(std::string_view prompt);

struct OutputParserOptions {
  /// Tags of tool calls have a meaning; else they are plain text.
  bool tools_active = false;
  bool parse_reasoning = true;
  bool starts_in_reasoning = true;
  ToolCallOptions calls;
};

/// See ChatParser, which is this with the tools as JSON text.
class OutputParser {
 public:
  explicit OutputParser(OutputParserOptions options);
  OutputParser(const OutputParser&) = delete;
  OutputParser& operator=(const OutputParser&) = delete;

  [[nodiscard]] std::vector<ChatEvent> feed(std::string_view text);
  [[nodiscard]] std::vector<ChatEvent> finish(OutputEnd end);
  [[nodiscard]] bool should_stop() const { return stopped_; }
  [[nodiscard]] std::string_view finish_reason() const;

 private:
  enum class State { kReasoning, kContent, kBlock };

  void advance(const OutputEnd* end);
  bool advance_text(bool at_end);
  bool advance_block(const OutputEnd* end);
  void text_tag();
  bool reopens_reasoning() const;
  void add_text(std::string_view text);
  void take_text(size_t length);

  TagSet tags_;  // those that have a meaning outside of blocks
  State state_;
  bool stray_end_expected_ = false;  // a block ended early; its end tag may still come
  bool stopped_ = false;
  bool finished_ = false;
  OutputEnd end_ = OutputEnd::kStop;

  PendingText text_;
  TagLookahead lookahead_;
  EventList events_;
  TextChannel reasoning_;
  TextChannel content_;
  ToolCallParser calls_;
};

}  // namespace m2::chat
