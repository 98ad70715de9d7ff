// Parses blocks of tool calls: <minimax:tool_call> ... </minimax:tool_call>.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "chat/arguments_writer.h"
#include "chat/event_list.h"
#include "chat/pending_text.h"
#include "chat/tag_lookahead.h"
#include "chat/text_channel.h"
#include "chat/tool_schema.h"
#include "m2/chat.h"

namespace m2::chat {

struct ToolCallOptions {
  std::shared_ptr<const ToolSchemas> tools;
  TrimValues trim_values = TrimValues::kOff;
  UnknownTools unknown_tools = UnknownTools::kForward;
  bool parallel_tool_calls = true;
  std::function<std::string()> next_call_id;
};

class ToolCallParser {
 public:
  /// `events` and `content` (the reply's content) outlive the parser. Text of calls that become
  /// content goes to `content`.
  ToolCallParser(ToolCallOptions options, EventList& events, TextChannel& content);

  enum class Step {
    kMoved,            // took some text; call again
    kNeedsText,        // more text decides
    kBlockEnded,       // by </minimax:tool_call>
    kBlockEndedEarly,  // by text that is no call; it follows take_space()
    kStopped,          // the only call that was wanted is complete
  };

  /// Takes the next step at the start of `text`, inside a block. With `end` the text is all there
  /// is.
  Step step(PendingText& text, const OutputEnd* end);

  /// Ends an open call after the last step; with kLength it stays unfinished.
  void finish(OutputEnd end);

  /// White space before the text that ended the block early.
  [[nodiscard]] std::string take_space() { return std::exchange(space_, {}); }

  [[nodiscard]] int num_started() const { return num_started_; }
  [[nodiscard]] int num_completed() const { return num_completed_; }

 private:
  enum class State { kBetween, kInvoke, kValue };

  Step step_between(PendingText& text, bool at_end);
  Step step_invoke(PendingText& text, bool at_end);
  Step step_value(PendingText& text, const OutputEnd* end);
  Step value_tag(PendingText& text, const OutputEnd* end);
  bool missing_close(PendingText& text, const OutputEnd* end, bool& needs_text);

  void start_call(std::string_view name);
  Step end_call(Step otherwise);
  void open_value(std::string_view key);
  void add_value(std::string_view text);
  void close_value();
  void emit_arguments(std::string_view text);
  // Takes text of a call, which becomes content when the call does.
  void take(PendingText& text, size_t length);

  ToolCallOptions options_;
  EventList& events_;
  TextChannel& content_;

  State state_ = State::kBetween;
  TagLookahead lookahead_;
  std::string space_;     // between calls
  std::string newlines_;  // of the value, possibly before a tag that closes it

  UnknownTools mode_ = UnknownTools::kForward;  // of the current call
  const ToolSchema* tool_ = nullptr;
  ArgumentsWriter arguments_{TrimValues::kOff};
  std::set<std::string, std::less<>> given_;
  int num_started_ = 0;
  int num_completed_ = 0;
};

}  // namespace m2::chat
