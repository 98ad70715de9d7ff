#include "chat/tag_scanner.h"

#include <array>

#include "chat/white_space.h"

namespace m2::chat {
namespace {

// No text is the beginning of another one, so the first that is complete is the tag.
constexpr std::array<std::string_view, kNumTags> kTexts = {
    "<think>", "</think>",  "<minimax:tool_call>", "</minimax:tool_call>",
    "<invoke", "</invoke>", "<parameter",          "</parameter>",
};

constexpr std::string_view kNameKeyword = "name";

bool is_blank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

std::string_view tag_text(Tag tag) { return kTexts[static_cast<size_t>(tag)]; }

std::string_view TagScanner::name() const { return trim(name_); }

TagScanner::Status TagScanner::feed(char c) {
  switch (phase_) {
    case Phase::kLiteral:
      return feed_literal(c);
    case Phase::kSpace:
    case Phase::kName:
      return feed_name_keyword(c);
    case Phase::kEquals:
      if (c == '=') phase_ = Phase::kOpen;
      return c == '=' || is_blank(c) ? Status::kPending : Status::kFailed;
    case Phase::kOpen:
      return is_blank(c) ? Status::kPending : open_value(c);
    case Phase::kQuoted:
      if (c == '\n') return Status::kFailed;
      if (c == quote_) {
        phase_ = Phase::kClose;
      } else {
        name_ += c;
      }
      return Status::kPending;
    case Phase::kBare:
      return feed_bare(c);
    case Phase::kClose:
      return close(c);
  }
  return Status::kFailed;
}

TagScanner::Status TagScanner::feed_literal(char c) {
  for (int i = 0; i < kNumTags; ++i) {
    const Tag tag = static_cast<Tag>(i);
    if (candidates_.contains(tag) && tag_text(tag)[matched_] != c) candidates_.erase(tag);
  }
  if (candidates_.empty()) return Status::kFailed;
  ++matched_;
  for (int i = 0; i < kNumTags; ++i) {
    tag_ = static_cast<Tag>(i);
    if (!candidates_.contains(tag_) || tag_text(tag_).size() != matched_) continue;
    if (tag_ != Tag::kInvoke && tag_ != Tag::kParameter) return Status::kMatched;
    phase_ = Phase::kSpace;
    matched_ = 0;
    break;
  }
  return Status::kPending;
}

TagScanner::Status TagScanner::feed_name_keyword(char c) {
  if (phase_ == Phase::kSpace && is_white_space(c)) {
    matched_ = 1;  // white space was seen
    return Status::kPending;
  }
  if (phase_ == Phase::kSpace) {
    if (matched_ == 0) return Status::kFailed;
    phase_ = Phase::kName;
    matched_ = 0;
  }
  if (c != kNameKeyword[matched_]) return Status::kFailed;
  if (++matched_ == kNameKeyword.size()) phase_ = Phase::kEquals;
  return Status::kPending;
}

TagScanner::Status TagScanner::open_value(char c) {
  if (c == '"' || c == '\'') {
    quote_ = c;
    phase_ = Phase::kQuoted;
    return Status::kPending;
  }
  if (c == '>' || is_white_space(c)) return Status::kFailed;
  phase_ = Phase::kBare;
  name_ += c;
  return Status::kPending;
}

TagScanner::Status TagScanner::feed_bare(char c) {
  if (c == '>' || is_white_space(c)) {
    phase_ = Phase::kClose;
    return close(c);
  }
  name_ += c;
  return Status::kPending;
}

TagScanner::Status TagScanner::close(char c) {
  if (is_blank(c)) return Status::kPending;
  return c == '>' && !name().empty() ? Status::kMatched : Status::kFailed;
}

}  // namespace m2::chat
