#include "chat/tag_lookahead.h"

#include "chat/white_space.h"

namespace m2::chat {

void TagLookahead::start(TagSet wanted) {
  stage_ = Stage::kTag;
  scanner_ = TagScanner(wanted);
  seen_ = 0;
  length_ = 0;
  invoke_follows_ = false;
  cut_off_ = false;
}

TagLookahead::Result TagLookahead::look(std::string_view text, TagSet wanted,
                                        Follow (*follow_of)(Tag), bool at_end) {
  if (stage_ == Stage::kStart) start(wanted);
  Result result = Result::kPending;
  while (result == Result::kPending && seen_ < text.size()) result = step(text[seen_++], follow_of);
  if (result == Result::kPending && at_end) result = at_end_of_output();
  if (result != Result::kPending) stage_ = Stage::kStart;
  return result;
}

TagLookahead::Result TagLookahead::step(char c, Follow (*follow_of)(Tag)) {
  if (stage_ == Stage::kGap || stage_ == Stage::kTail) {
    if (is_white_space(c)) return Result::kPending;
    if (stage_ == Stage::kTail || c != '<') return Result::kNone;
    TagSet wanted = follow_.tags;
    for (int i = 0; i < kNumTags; ++i) {
      const Tag tag = static_cast<Tag>(i);
      if (follow_.tags_before_end.contains(tag)) wanted.insert(tag);
    }
    scanner_ = TagScanner(wanted);
    stage_ = Stage::kFollow;
  }
  switch (scanner_.feed(c)) {
    case TagScanner::Status::kPending:
      return Result::kPending;
    case TagScanner::Status::kFailed:
      return Result::kNone;
    case TagScanner::Status::kMatched:
      return stage_ == Stage::kTag ? after_tag(follow_of) : after_follow();
  }
  return Result::kNone;
}

TagLookahead::Result TagLookahead::after_tag(Follow (*follow_of)(Tag)) {
  tag_ = scanner_.tag();
  length_ = seen_;
  follow_ = follow_of(tag_);
  if (follow_.anything) return Result::kTag;
  stage_ = Stage::kGap;
  return Result::kPending;
}

TagLookahead::Result TagLookahead::after_follow() {
  const Tag follow = scanner_.tag();
  invoke_follows_ = follow == Tag::kInvoke;
  if (follow_.tags.contains(follow)) return Result::kTag;
  stage_ = Stage::kTail;
  return Result::kPending;
}

TagLookahead::Result TagLookahead::at_end_of_output() {
  const bool complete = (stage_ == Stage::kGap && follow_.end) || stage_ == Stage::kTail;
  if (complete) return Result::kTag;
  cut_off_ = true;
  return Result::kNone;
}

}  // namespace m2::chat
