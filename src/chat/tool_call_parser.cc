#include "chat/tool_call_parser.h"

#include <algorithm>
#include <utility>

#include "chat/white_space.h"

namespace m2::chat {
namespace {

constexpr TagSet kTagsBetween = {Tag::kInvoke, Tag::kEndToolCall};
constexpr TagSet kTagsInInvoke = {Tag::kParameter, Tag::kEndInvoke, Tag::kEndToolCall,
                                  Tag::kInvoke};
constexpr TagSet kTagsInValue = {Tag::kEndParameter, Tag::kEndInvoke, Tag::kEndToolCall};

Follow anything(Tag) { return {.anything = true}; }

// Inside a value these tags are text unless what follows shows that the value has ended.
Follow follow_in_value(Tag tag) {
  switch (tag) {
    case Tag::kEndParameter:
      return {.tags = {Tag::kEndInvoke, Tag::kEndToolCall, Tag::kParameter, Tag::kInvoke},
              .end = true};
    case Tag::kEndInvoke:
      return {.tags = {Tag::kInvoke}, .tags_before_end = {Tag::kEndToolCall}, .end = true};
    default:
      return {.end = true};
  }
}

size_t white_space_length(std::string_view text) {
  return std::min(text.find_first_not_of(kWhiteSpace), text.size());
}

}  // namespace

ToolCallParser::ToolCallParser(ToolCallOptions options, EventList& events, TextChannel& content)
    : options_(std::move(options)), events_(events), content_(content) {}

ToolCallParser::Step ToolCallParser::step(PendingText& text, const OutputEnd* end) {
  switch (state_) {
    case State::kBetween:
      return step_between(text, end != nullptr);
    case State::kInvoke:
      return step_invoke(text, end != nullptr);
    case State::kValue:
      return step_value(text, end);
  }
  return Step::kNeedsText;
}

ToolCallParser::Step ToolCallParser::step_between(PendingText& text, bool at_end) {
  if (const size_t length = white_space_length(text.view()); length > 0) {
    space_ += text.view().substr(0, length);
    text.consume(length);
    return Step::kMoved;
  }
  if (text.view()[0] != '<') return Step::kBlockEndedEarly;
  switch (lookahead_.look(text.view(), kTagsBetween, anything, at_end)) {
    case TagLookahead::Result::kPending:
      return Step::kNeedsText;
    case TagLookahead::Result::kNone:
      return Step::kBlockEndedEarly;
    case TagLookahead::Result::kTag:
      break;
  }
  space_.clear();
  if (lookahead_.tag() == Tag::kEndToolCall) {
    text.consume(lookahead_.length());
    return Step::kBlockEnded;
  }
  start_call(lookahead_.name());
  take(text, lookahead_.length());
  return Step::kMoved;
}

ToolCallParser::Step ToolCallParser::step_invoke(PendingText& text, bool at_end) {
  if (const size_t length = std::min(text.view().find('<'), text.view().size()); length > 0) {
    take(text, length);
    return Step::kMoved;
  }
  switch (lookahead_.look(text.view(), kTagsInInvoke, anything, at_end)) {
    case TagLookahead::Result::kPending:
      return Step::kNeedsText;
    case TagLookahead::Result::kNone:
      take(text, lookahead_.literal_length());
      return Step::kMoved;
    case TagLookahead::Result::kTag:
      break;
  }
  switch (lookahead_.tag()) {
    case Tag::kParameter:
      take(text, lookahead_.length());
      open_value(lookahead_.name());
      return Step::kMoved;
    case Tag::kEndInvoke:
      take(text, lookahead_.length());
      return end_call(Step::kMoved);
    case Tag::kEndToolCall:
      text.consume(lookahead_.length());
      return end_call(Step::kBlockEnded);
    default:  // the next invoke; its header is read again between the calls
      return end_call(Step::kMoved);
  }
}

ToolCallParser::Step ToolCallParser::step_value(PendingText& text, const OutputEnd* end) {
  const std::string_view view = text.view();
  const size_t plain = std::min(view.find_first_of("<\r\n"), view.size());
  if (plain > 0) {
    add_value(view.substr(0, plain));
    take(text, plain);
    return Step::kMoved;
  }
  if (view[0] != '<') {
    const size_t length = std::min(view.find_first_not_of("\r\n"), view.size());
    newlines_ += view.substr(0, length);
    take(text, length);
    return Step::kMoved;
  }
  return value_tag(text, end);
}

// At a '<' inside a value.
ToolCallParser::Step ToolCallParser::value_tag(PendingText& text, const OutputEnd* end) {
  bool needs_text = false;
  if (missing_close(text, end, needs_text)) {
    newlines_.clear();
    close_value();
    return Step::kMoved;
  }
  if (needs_text) return Step::kNeedsText;
  TagLookahead::Result result =
      lookahead_.look(text.view(), kTagsInValue, follow_in_value, end != nullptr);
  if (result == TagLookahead::Result::kPending) return Step::kNeedsText;
  // Of a cut-off call only what is certain is reported: a possible tag at the end is no text of the
  // value. (A call that becomes content keeps all its text.)
  if (result == TagLookahead::Result::kNone && lookahead_.cut_off() && *end == OutputEnd::kLength &&
      mode_ != UnknownTools::kContent) {
    return Step::kNeedsText;
  }
  const bool undeclared = result == TagLookahead::Result::kTag &&
                          lookahead_.tag() == Tag::kEndInvoke && lookahead_.invoke_follows() &&
                          options_.tools->find(lookahead_.name()) == nullptr;
  if (result == TagLookahead::Result::kNone || undeclared) {
    const size_t length = undeclared ? lookahead_.length() : lookahead_.literal_length();
    add_value(text.view().substr(0, length));
    take(text, length);
    return Step::kMoved;
  }
  if (lookahead_.tag() == Tag::kEndParameter) {
    add_value({});
    take(text, lookahead_.length());
  } else {
    newlines_.clear();
  }
  close_value();
  return Step::kMoved;
}

// The header of another parameter at a line start closes a value whose </parameter> is missing.
bool ToolCallParser::missing_close(PendingText& text, const OutputEnd* end, bool& needs_text) {
  if (tool_ == nullptr || !newlines_.ends_with('\n')) return false;
  const auto match = tool_->match_parameter_header(text.view(), given_);
  if (match == ToolSchema::HeaderMatch::kPartial) {
    needs_text = end == nullptr || *end == OutputEnd::kLength;
  }
  return match == ToolSchema::HeaderMatch::kWhole;
}

void ToolCallParser::start_call(std::string_view name) {
  tool_ = options_.tools->find(name);
  mode_ = tool_ == nullptr ? options_.unknown_tools : UnknownTools::kForward;
  arguments_ = ArgumentsWriter(options_.trim_values);
  given_.clear();
  state_ = State::kInvoke;
  if (mode_ != UnknownTools::kForward) return;
  events_.call_start(num_started_++, options_.next_call_id(), name);
}

ToolCallParser::Step ToolCallParser::end_call(Step otherwise) {
  state_ = State::kBetween;
  if (mode_ != UnknownTools::kForward) return otherwise;
  emit_arguments(arguments_.finish());
  events_.call_end(num_started_ - 1);
  ++num_completed_;
  return options_.parallel_tool_calls ? otherwise : Step::kStopped;
}

void ToolCallParser::open_value(std::string_view key) {
  state_ = State::kValue;
  newlines_.clear();
  given_.emplace(key);
  const ValueTypes types = tool_ == nullptr ? ValueTypes{ValueType::kString} : tool_->types_of(key);
  emit_arguments(arguments_.open_value(key, types));
}

// Newlines that waited come first; they turned out to be part of the value.
void ToolCallParser::add_value(std::string_view text) {
  if (!newlines_.empty()) {
    emit_arguments(arguments_.add_text(newlines_));
    newlines_.clear();
  }
  emit_arguments(arguments_.add_text(text));
}

void ToolCallParser::close_value() {
  emit_arguments(arguments_.close_value());
  state_ = State::kInvoke;
}

void ToolCallParser::emit_arguments(std::string_view text) {
  if (mode_ == UnknownTools::kForward) events_.call_arguments(num_started_ - 1, text);
}

void ToolCallParser::take(PendingText& text, size_t length) {
  if (mode_ == UnknownTools::kContent) {
    events_.content(content_.add(text.view().substr(0, length)));
  }
  text.consume(length);
}

void ToolCallParser::finish(OutputEnd end) {
  if (state_ == State::kBetween || end == OutputEnd::kLength) return;
  if (state_ == State::kValue) {
    add_value({});
    close_value();
  }
  end_call(Step::kMoved);
}

}  // namespace m2::chat
