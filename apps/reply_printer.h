// Shows the events of a reply as they come.
#pragma once

#include <string_view>

#include "m2/chat.h"

namespace m2::app {

enum class ThinkingDisplay { kShow, kHide };

/// On a terminal thinking is dimmed, calls are coloured, and control characters that the model
/// produced are made harmless. Elsewhere text is written as it is.
class ReplyPrinter {
 public:
  explicit ReplyPrinter(ThinkingDisplay thinking) : thinking_(thinking) {}

  void show(const ChatEvent& event);
  /// Ends the last line and the colours.
  void finish();

 private:
  enum class Part { kNone, kReasoning, kContent, kCall };

  void enter(Part part);
  void write(std::string_view text);

  ThinkingDisplay thinking_;
  Part part_ = Part::kNone;
  bool at_line_start_ = true;
};

}  // namespace m2::app
