// One line of input: with editing and history on a terminal, plain elsewhere.
#pragma once

#include <optional>
#include <string>

namespace m2::app {

/// The next line without its newline; nothing at the end of the input. The prompt is shown only
/// when standard input is a terminal.
std::optional<std::string> read_line(const std::string& prompt);

}  // namespace m2::app
