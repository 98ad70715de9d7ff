#include "reply_printer.h"

#include <string>
#include <variant>

#include "input_output.h"

namespace m2::app {
namespace {

// Control characters other than newline and tab could move the cursor or worse.
std::string harmless(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control = (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
    if (control) {
      result += "\xEF\xBF\xBD";
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace

void ReplyPrinter::show(const ChatEvent& event) {
  if (const auto* reasoning = std::get_if<ReasoningDelta>(&event)) {
    if (thinking_ == ThinkingDisplay::kHide) return;
    enter(Part::kReasoning);
    write(reasoning->text);
  } else if (const auto* content = std::get_if<ContentDelta>(&event)) {
    enter(Part::kContent);
    write(content->text);
  } else if (const auto* call = std::get_if<ToolCallStart>(&event)) {
    enter(Part::kNone);
    enter(Part::kCall);
    write(call->name + "(");
  } else if (const auto* arguments = std::get_if<ToolCallArguments>(&event)) {
    write(arguments->text);
  } else {
    write(")");
    enter(Part::kNone);
  }
  flush_output();
}

void ReplyPrinter::finish() {
  enter(Part::kNone);
  flush_output();
}

// Every part begins on a line of its own.
void ReplyPrinter::enter(Part part) {
  if (part == part_) return;
  if (part_ != Part::kNone) print(colors().reset);
  if (!at_line_start_) write("\n");
  part_ = part;
  if (part == Part::kReasoning) print(colors().dim);
  if (part == Part::kCall) print(colors().tool);
}

void ReplyPrinter::write(std::string_view text) {
  if (text.empty()) return;
  print(stdout_is_terminal() ? harmless(text) : std::string(text));
  at_line_start_ = text.back() == '\n';
}

}  // namespace m2::app
