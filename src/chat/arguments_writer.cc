#include "chat/arguments_writer.h"

#include <utility>

#include "chat/json_literal.h"
#include "chat/white_space.h"

namespace m2::chat {

std::string ArgumentsWriter::open_value(std::string_view key, ValueTypes types) {
  types_ = types;
  streams_ = types == ValueTypes{ValueType::kString};
  at_start_ = true;
  held_.clear();
  value_.clear();
  key_ = any_ ? ", " : "{";
  key_ += json_string(key);
  key_ += ": ";
  if (!streams_) return {};
  any_ = true;
  return key_ + '"';
}

std::string ArgumentsWriter::add_text(std::string_view text) {
  if (text.empty()) return {};
  std::string kept = trimmed(text);
  if (!streams_) {
    value_ += kept;
    return {};
  }
  std::string out;
  append_json_escaped(out, kept);
  return out;
}

std::string ArgumentsWriter::close_value() {
  if (streams_) return "\"";
  any_ = true;
  return key_ + argument_json(value_, types_);
}

std::string ArgumentsWriter::finish() { return any_ ? "}" : "{}"; }

std::string ArgumentsWriter::trimmed(std::string_view text) {
  if (trim_ == TrimValues::kOff) return std::string(text);
  if (at_start_) {
    if (trim_ == TrimValues::kStrip) {
      const size_t first = find_visible(text);
      if (first == std::string_view::npos) return {};
      text.remove_prefix(first);
    } else if (text[0] == '\n') {
      text.remove_prefix(1);
    }
    at_start_ = false;
  }
  const size_t end = trim_ == TrimValues::kStrip ? visible_end(text)
                                                 : text.size() - (text.ends_with('\n') ? 1 : 0);
  if (end == 0) {
    if (trim_ == TrimValues::kStrip) {
      held_ += text;
      return {};
    }
    if (text.empty()) return {};
  }
  std::string kept = std::exchange(held_, std::string(text.substr(end)));
  kept += text.substr(0, end);
  return kept;
}

}  // namespace m2::chat
