#include "chat/event_list.h"

#include <string>
#include <utility>

namespace m2::chat {
namespace {

template <typename Delta>
void add_text(std::vector<ChatEvent>& events, std::string_view text) {
  if (text.empty()) return;
  if (!events.empty()) {
    if (auto* last = std::get_if<Delta>(&events.back())) {
      last->text += text;
      return;
    }
  }
  events.emplace_back(Delta{std::string(text)});
}

}  // namespace

void EventList::reasoning(std::string_view text) { add_text<ReasoningDelta>(events_, text); }

void EventList::content(std::string_view text) { add_text<ContentDelta>(events_, text); }

void EventList::call_start(int index, std::string id, std::string_view name) {
  events_.emplace_back(ToolCallStart{index, std::move(id), std::string(name)});
}

void EventList::call_arguments(int index, std::string_view text) {
  if (text.empty()) return;
  // Neighbouring argument events always belong to the same call: a start lies between two calls.
  if (!events_.empty()) {
    if (auto* last = std::get_if<ToolCallArguments>(&events_.back())) {
      last->text += text;
      return;
    }
  }
  events_.emplace_back(ToolCallArguments{index, std::string(text)});
}

void EventList::call_end(int index) { events_.emplace_back(ToolCallEnd{index}); }

std::vector<ChatEvent> EventList::take() { return std::exchange(events_, {}); }

}  // namespace m2::chat
