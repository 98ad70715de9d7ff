// m2 parse: the output of the model to reasoning, content and tool calls.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "input_output.h"
#include "m2/chat.h"
#include "m2/error.h"

namespace m2::app {
namespace {

struct ParseOptions {
  std::string tools;
  bool chunks = false;
  bool length = false;
  bool json = false;
};

std::vector<std::string> read_chunks() {
  const Json list = parse_json(read_stdin(), "standard input");
  for (const Json& chunk : list) {
    if (!list.is_array() || !chunk.is_string()) {
      throw Error(ErrorCode::kInvalidArgument,
                  "standard input: expected a JSON list of strings with --chunks");
    }
  }
  return list.get<std::vector<std::string>>();
}

void parse(const ParseOptions& options) {
  ChatParserOptions parser_options;
  if (!options.tools.empty()) parser_options.tools_json = read_text(options.tools);
  const OutputEnd end = options.length ? OutputEnd::kLength : OutputEnd::kStop;
  if (options.chunks) {
    print(parse_chat_chunks(read_chunks(), parser_options, end) + "\n");
    return;
  }
  const std::string message = parse_chat_output(read_stdin(), parser_options, end);
  const int indent = options.json || !stdout_is_terminal() ? -1 : 2;
  print(parse_json(message, "message").dump(indent, ' ', false) + "\n");
}

}  // namespace

void add_parse_command(CLI::App& app) {
  auto options = std::make_shared<ParseOptions>();
  CLI::App* command =
      app.add_subcommand("parse", "Generated text on standard input to a chat message");
  command->add_option("--tools", options->tools, "JSON list of the tools that were offered");
  command->add_flag("--chunks", options->chunks,
                    "Standard input is a JSON list of chunks; prints the events of each");
  command->add_flag("--length", options->length, "The text was cut off by the length limit");
  command->add_flag("--json", options->json, "Print one line (the default when not on a terminal)");
  command->footer("The text begins inside the thinking part, as M2's prompts end with <think>.");
  command->callback([options] { parse(*options); });
}

}  // namespace m2::app
