#include "line_editor.h"

#include <editline/readline.h>

#include <clocale>
#include <cstdlib>
#include <iostream>
#include <memory>

#include "input_output.h"

namespace m2::app {
namespace {

void prepare_editor() {
  static const bool prepared = [] {
    std::setlocale(LC_CTYPE, "");  // UTF-8 input
    return true;
  }();
  static_cast<void>(prepared);
}

}  // namespace

std::optional<std::string> read_line(const std::string& prompt) {
  if (!stdin_is_terminal()) {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  }
  prepare_editor();
  const std::unique_ptr<char, decltype(&std::free)> line(::readline(prompt.c_str()), &std::free);
  if (!line) return std::nullopt;
  if (line.get()[0] != '\0') ::add_history(line.get());
  return std::string(line.get());
}

}  // namespace m2::app
