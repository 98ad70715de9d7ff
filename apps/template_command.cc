// m2 template: messages to the prompt that the model sees.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "commands.h"
#include "input_output.h"
#include "m2/chat.h"
#include "m2/error.h"
#include "m2/tokenizer.h"

namespace m2::app {
namespace {

struct TemplateOptions {
  std::filesystem::path model;
  std::string messages;
  std::string tools;
  std::string template_file;
  std::string kwargs;
  bool no_generation_prompt = false;
  bool raw = false;
  bool json = false;
};

void render(const TemplateOptions& options) {
  if (options.model.empty() && options.template_file.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "template: --model or --template is needed");
  }
  const ChatTemplate chat_template =
      options.template_file.empty() ? ChatTemplate::from_directory(options.model)
                                    : ChatTemplate::from_source(read_text(options.template_file));
  ChatRequest request;
  request.messages_json = read_text(options.messages);
  if (!options.tools.empty()) request.tools_json = read_text(options.tools);
  request.template_kwargs_json = options.kwargs;
  request.add_generation_prompt = !options.no_generation_prompt;
  request.raw = options.raw;
  const RenderedPrompt prompt = chat_template.render(request);
  for (const std::string& warning : prompt.warnings) {
    std::fprintf(stderr, "m2: warning: %s\n", warning.c_str());
  }
  if (!options.json && stdout_is_terminal()) {
    print(prompt.text + "\n");
    return;
  }
  Json result = {{"prompt", prompt.text}};
  if (!options.model.empty()) {
    const Tokenizer tokenizer = Tokenizer::from_pretrained(options.model);
    result["ids"] = options.raw ? tokenizer.encode_ids(prompt.text)
                                : tokenizer.encode_ids(TextInput(prompt.text, prompt.untrusted));
  }
  print_json(result);
}

}  // namespace

void add_template_command(CLI::App& app) {
  auto options = std::make_shared<TemplateOptions>();
  CLI::App* command = app.add_subcommand("template", "Chat messages to the prompt of the model");
  command->add_option("-m,--model", options->model,
                      "Model directory: its template, and its tokenizer for the ids");
  command->add_option("--messages", options->messages, "JSON list of messages; - is standard input")
      ->required();
  command->add_option("--tools", options->tools, "JSON list of tools");
  command->add_option("--template", options->template_file,
                      "A template file instead of the model's");
  command->add_option("--kwargs", options->kwargs, "JSON object with more template variables");
  command->add_flag("--no-generation-prompt", options->no_generation_prompt,
                    "Do not open a turn of the assistant at the end");
  command->add_flag("--raw", options->raw,
                    "Give messages and tools to the template exactly as the files have them");
  command->add_flag("--json", options->json,
                    "Print {\"prompt\", \"ids\"} (the default when not on a terminal)");
  command->footer(
      "Without --raw, turn markers inside the texts of messages are plain text for the ids.");
  command->callback([options] { render(*options); });
}

}  // namespace m2::app
