#include "chat/output_parser.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "chat/call_id.h"
#include "chat/white_space.h"

namespace m2::chat {
namespace {

// A block begins only where a call follows; all other tags count by themselves.
Follow follow_in_text(Tag tag) {
  if (tag == Tag::kToolCall) return {.tags = {Tag::kInvoke}};
  return {.anything = true};
}

TagSet text_tags(const OutputParserOptions& options) {
  TagSet tags;
  if (options.parse_reasoning) {
    tags.insert(Tag::kThink);
    tags.insert(Tag::kEndThink);
  }
  if (options.tools_active) {
    tags.insert(Tag::kToolCall);
    tags.insert(Tag::kEndToolCall);
  }
  return tags;
}

ToolCallOptions with_defaults(ToolCallOptions options) {
  if (!options.tools) options.tools = std::make_shared<ToolSchemas>();
  if (!options.next_call_id) options.next_call_id = random_call_id;
  return options;
}

}  // namespace

bool prompt_ends_in_think(std::string_view prompt) {
  const size_t end = prompt.find_last_not_of(kWhiteSpace) + 1;
  return prompt.substr(0, end).ends_with(tag_text(Tag::kThink));
}

OutputParser::OutputParser(OutputParserOptions options)
    : tags_(text_tags(options)),
      state_(options.parse_reasoning && options.starts_in_reasoning ? State::kReasoning
                                                                    : State::kContent),
      calls_(with_defaults(std::move(options.calls)), events_, content_) {}

std::vector<ChatEvent> OutputParser::feed(std::string_view text) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, !finished_, "chat parser: fed after its end");
  if (stopped_) return {};
  text_.append(text);
  advance(nullptr);
  return events_.take();
}

std::vector<ChatEvent> OutputParser::finish(OutputEnd end) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, !finished_, "chat parser: ended twice");
  finished_ = true;
  end_ = end;
  if (stopped_) return {};
  advance(&end);
  if (state_ == State::kBlock && !stopped_) calls_.finish(end);
  return events_.take();
}

std::string_view OutputParser::finish_reason() const {
  if (end_ == OutputEnd::kLength) return "length";
  return calls_.num_completed() > 0 ? "tool_calls" : "stop";
}

void OutputParser::advance(const OutputEnd* end) {
  bool moved = true;
  while (moved && !stopped_ && !text_.empty()) {
    moved = state_ == State::kBlock ? advance_block(end) : advance_text(end != nullptr);
  }
}

bool OutputParser::advance_text(bool at_end) {
  const std::string_view text = text_.view();
  const size_t plain = tags_.empty() ? text.size() : std::min(text.find('<'), text.size());
  if (plain > 0) {
    take_text(plain);
    return true;
  }
  switch (lookahead_.look(text, tags_, follow_in_text, at_end)) {
    case TagLookahead::Result::kPending:
      return false;
    case TagLookahead::Result::kNone:
      take_text(lookahead_.literal_length());
      return true;
    case TagLookahead::Result::kTag:
      text_tag();
      return true;
  }
  return false;
}

void OutputParser::text_tag() {
  const size_t length = lookahead_.length();
  switch (lookahead_.tag()) {
    case Tag::kThink:
      if (!reopens_reasoning()) return take_text(length);
      state_ = State::kReasoning;
      break;
    case Tag::kEndThink:
      state_ = State::kContent;
      break;
    case Tag::kToolCall:
      state_ = State::kBlock;
      stray_end_expected_ = false;
      break;
    default:  // </minimax:tool_call>
      if (state_ != State::kContent || !stray_end_expected_) return take_text(length);
      stray_end_expected_ = false;
      break;
  }
  text_.consume(length);
}

// A <think> opens the thinking part as long as nothing of the part it would interrupt was shown.
bool OutputParser::reopens_reasoning() const {
  if (state_ == State::kReasoning) return !reasoning_.visible();
  return !content_.visible() && calls_.num_started() == 0;
}

bool OutputParser::advance_block(const OutputEnd* end) {
  switch (calls_.step(text_, end)) {
    case ToolCallParser::Step::kMoved:
      return true;
    case ToolCallParser::Step::kNeedsText:
      return false;
    case ToolCallParser::Step::kBlockEnded:
      state_ = State::kContent;
      return true;
    case ToolCallParser::Step::kBlockEndedEarly:
      state_ = State::kContent;
      stray_end_expected_ = true;
      add_text(calls_.take_space());
      return true;
    case ToolCallParser::Step::kStopped:
      stopped_ = true;
      return true;
  }
  return false;
}

void OutputParser::add_text(std::string_view text) {
  if (state_ == State::kReasoning) {
    events_.reasoning(reasoning_.add(text));
  } else {
    events_.content(content_.add(text));
  }
}

void OutputParser::take_text(size_t length) {
  add_text(text_.view().substr(0, length));
  text_.consume(length);
}

}  // namespace m2::chat
