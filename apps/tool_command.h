// Runs a program of the user's to answer tool calls.
#pragma once

#include <string>

namespace m2::app {

/// Runs `command` with sh, the text `input` on its standard input; returns what it writes to
/// standard output without the final newline. A command that fails adds a line that says so.
/// Throws kInternal when it cannot be started.
std::string run_tool_command(const std::string& command, const std::string& input);

}  // namespace m2::app
