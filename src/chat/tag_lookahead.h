// Decides whether the text at hand begins with a tag that counts, given what follows the tag.
#pragma once

#include <cstddef>
#include <string_view>

#include "chat/tag_scanner.h"

namespace m2::chat {

/// What must follow a tag, after white space, for it to count.
struct Follow {
  bool anything = false;        // no condition
  TagSet tags = {};             // one of these
  TagSet tags_before_end = {};  // one of these, with only white space up to the end of the output
  bool end = false;             // the end of the output
};

/// Resumable: while the answer is kPending the next call goes on where the last one stopped, so
/// that text fed byte by byte is read once. The text must then be the same, only longer.
class TagLookahead {
 public:
  enum class Result {
    kPending,  // more text decides; never with at_end
    kTag,
    kNone,  // literal_length() characters are plain text
  };

  /// `text` starts with '<'. `wanted` are the tags that matter here.
  Result look(std::string_view text, TagSet wanted, Follow (*follow_of)(Tag), bool at_end);

  /// After kTag: the tag, its length and, for a header, its name.
  [[nodiscard]] Tag tag() const { return tag_; }
  [[nodiscard]] size_t length() const { return length_; }
  [[nodiscard]] std::string_view name() const { return scanner_.name(); }

  /// After kTag, when a tag was needed behind it: whether it was an invoke header, whose name is
  /// then name().
  [[nodiscard]] bool invoke_follows() const { return invoke_follows_; }

  /// After kNone: characters that cannot be or begin a tag, at least 1.
  [[nodiscard]] size_t literal_length() const { return length_ > 0 ? length_ : 1; }
  /// After kNone: only the end of the output made it so.
  [[nodiscard]] bool cut_off() const { return cut_off_; }

 private:
  enum class Stage { kStart, kTag, kGap, kFollow, kTail };

  void start(TagSet wanted);
  Result step(char c, Follow (*follow_of)(Tag));
  Result after_tag(Follow (*follow_of)(Tag));
  Result after_follow();
  Result at_end_of_output();

  Stage stage_ = Stage::kStart;
  TagScanner scanner_;
  size_t seen_ = 0;    // characters that were read
  size_t length_ = 0;  // of the tag, 0 before it is complete
  Tag tag_ = Tag::kThink;
  Follow follow_;
  bool invoke_follows_ = false;
  bool cut_off_ = false;
};

}  // namespace m2::chat
