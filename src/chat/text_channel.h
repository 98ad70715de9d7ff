// One text stream of the reply, reasoning or content, without the newlines at its ends.
#pragma once

#include <string>
#include <string_view>

namespace m2::chat {

/// The channel's text is the concatenation of all pieces without "\n" at both ends, and nothing at
/// all when it has no visible character. So leading white space waits for the first visible
/// character and a run of newlines for the next character.
class TextChannel {
 public:
  /// Returns the text that `piece` makes certain. The view holds until the next call.
  [[nodiscard]] std::string_view add(std::string_view piece);

  /// True once a visible character came.
  [[nodiscard]] bool visible() const { return visible_; }

 private:
  bool visible_ = false;
  std::string held_;      // white space (before the first visible character) or newlines
  std::string released_;  // backs the returned view
};

}  // namespace m2::chat
