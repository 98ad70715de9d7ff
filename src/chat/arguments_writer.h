// Writes the arguments of one call as JSON text while its parameters come in.
#pragma once

#include <string>
#include <string_view>

#include "chat/argument_value.h"
#include "m2/chat.h"

namespace m2::chat {

/// Every function returns the text that it makes certain. Values of type string go out as they
/// come, others when they are complete.
class ArgumentsWriter {
 public:
  explicit ArgumentsWriter(TrimValues trim) : trim_(trim) {}

  [[nodiscard]] std::string open_value(std::string_view key, ValueTypes types);
  [[nodiscard]] std::string add_text(std::string_view text);
  [[nodiscard]] std::string close_value();
  /// The end of the call.
  [[nodiscard]] std::string finish();

 private:
  // The part of `text` that trimming certainly keeps; the rest waits in held_.
  [[nodiscard]] std::string trimmed(std::string_view text);

  TrimValues trim_;
  bool any_ = false;       // a parameter went out
  bool streams_ = false;   // the open value is of type string
  bool at_start_ = false;  // nothing of the open value was kept so far
  std::string key_;        // of the open value, as written before it
  ValueTypes types_;
  std::string held_;   // possibly trailing white space
  std::string value_;  // a value that does not stream
};

}  // namespace m2::chat
