#include "chat/text_channel.h"

#include "chat/white_space.h"

namespace m2::chat {

std::string_view TextChannel::add(std::string_view piece) {
  if (!visible_) {
    if (find_visible(piece) == std::string_view::npos) {
      held_ += piece;
      return {};
    }
    visible_ = true;
    held_ += piece;
    released_ = held_.substr(held_.find_first_not_of('\n'));
    held_.clear();
  } else {
    if (piece.find_first_not_of('\n') == std::string_view::npos) {
      held_ += piece;
      return {};
    }
    released_ = held_;
    released_ += piece;
    held_.clear();
  }
  const size_t end = released_.find_last_not_of('\n') + 1;
  held_ = released_.substr(end);
  released_.resize(end);
  return released_;
}

}  // namespace m2::chat
