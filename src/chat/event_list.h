// The events of one call of the parser, neighbours of the same kind joined.
#pragma once

#include <string_view>
#include <vector>

#include "m2/chat.h"

namespace m2::chat {

class EventList {
 public:
  void reasoning(std::string_view text);
  void content(std::string_view text);
  void call_start(int index, std::string id, std::string_view name);
  void call_arguments(int index, std::string_view text);
  void call_end(int index);

  [[nodiscard]] std::vector<ChatEvent> take();

 private:
  std::vector<ChatEvent> events_;
};

}  // namespace m2::chat
