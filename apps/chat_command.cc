// m2 chat: a conversation in the terminal.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "commands.h"
#include "input_output.h"
#include "line_editor.h"
#include "m2/error.h"
#include "session_options.h"
#include "tool_command.h"

namespace m2::app {
namespace {

struct ChatOptions {
  SessionOptions session;
  std::string tool_command;
};

constexpr const char* kHelp =
    "/help        this list\n"
    "/clear       forget the conversation\n"
    "/undo        forget the last question and its answer\n"
    "/retry       answer the last question again\n"
    "/prompt      show the prompt that the model would see now\n"
    "/save FILE   write the messages as JSON\n"
    "/stats       show or hide the speed after every answer\n"
    "/exit        leave (also Ctrl-D)\n"
    "A line that ends in \\ goes on in the next one. Ctrl-C stops an answer.\n";

// The loop of the conversation.
class Chat {
 public:
  explicit Chat(const ChatOptions& options)
      : options_(options),
        session_(open_session(options.session)),
        generation_(generation_config_of(options.session.generation)),
        stats_(options.session.stats) {}

  void run() {
    greet();
    while (const auto line = read_message()) {
      if (line->empty()) continue;
      try {
        if (line->front() == '/') {
          if (!run_command(*line)) return;
        } else {
          session_.chat->add_user(*line);
          answer();
        }
      } catch (const Error& error) {
        complain(error.what());
      }
    }
    if (stdin_is_terminal()) print("\n");
  }

 private:
  void greet() {
    if (!stdin_is_terminal()) return;
    const std::filesystem::path directory(options_.session.model.name);
    print(std::string(colors().bold) + directory.filename().string() + std::string(colors().reset) +
          ", " + format_count(session_.generator->context()) +
          " tokens of context. /help lists the "
          "commands.\n");
  }

  // One message; a backslash at the end of a line continues it.
  static std::optional<std::string> read_message() {
    std::string message;
    const char* prompt = "> ";
    while (const auto line = read_line(prompt)) {
      if (line->empty() || line->back() != '\\') return message + *line;
      message += line->substr(0, line->size() - 1) + "\n";
      prompt = ". ";
    }
    if (message.empty()) return std::nullopt;
    return message;
  }

  // Answers until no tool has to be called any more.
  void answer() {
    for (;;) {
      const ChatReply reply = generate_reply();
      for (const std::string& warning : reply.warnings) complain("warning: " + warning);
      if (stats_)
        print(std::string(colors().dim) + describe(reply.timings) + "\n" +
              std::string(colors().reset));
      if (reply.finish_reason == "length") complain("the answer was cut off at the length limit");
      if (reply.tool_calls.empty() || reply.finish_reason == "cancelled") return;
      for (const ToolCall& call : reply.tool_calls) {
        const auto result = tool_result(call);
        if (!result) {
          complain("no result was given; the question is withdrawn");
          session_.chat->undo();
          return;
        }
        session_.chat->add_tool_result(call.id, *result);
      }
    }
  }

  ChatReply generate_reply() {
    ReplyPrinter printer(thinking_display(options_.session));
    const InterruptScope interrupt;
    ChatReply reply = session_.chat->reply(
        generation_, [&](const ChatEvent& event) { printer.show(event); }, interrupt.stop_token());
    printer.finish();
    return reply;
  }

  std::optional<std::string> tool_result(const ToolCall& call) {
    if (options_.tool_command.empty()) return read_line("result of " + call.name + "> ");
    const Json request = {{"name", call.name},
                          {"arguments", parse_json(call.arguments_json, "arguments")}};
    std::string result = run_tool_command(options_.tool_command, request.dump());
    print(std::string(colors().dim) + result + std::string(colors().reset) + "\n");
    return result;
  }

  // False ends the conversation.
  bool run_command(const std::string& line) {
    const std::size_t blank = line.find(' ');
    const std::string name = line.substr(0, blank);
    const std::string argument = blank == std::string::npos ? "" : line.substr(blank + 1);
    if (name == "/exit" || name == "/quit") return false;
    if (name == "/help") {
      print(kHelp);
    } else if (name == "/clear") {
      session_.chat->clear();
    } else if (name == "/undo") {
      if (!session_.chat->undo()) complain("there is nothing to undo");
    } else if (name == "/retry") {
      retry();
    } else if (name == "/prompt") {
      print(session_.chat->prompt() + "\n");
    } else if (name == "/save") {
      save(argument);
    } else if (name == "/stats") {
      stats_ = !stats_;
    } else {
      complain("unknown command " + name + "; /help lists them");
    }
    return true;
  }

  void retry() {
    const auto& messages = session_.chat->messages();
    const auto last = std::find_if(messages.rbegin(), messages.rend(),
                                   [](const Json& message) { return message["role"] == "user"; });
    if (last == messages.rend()) {
      complain("there is nothing to answer again");
      return;
    }
    const std::string question = (*last)["content"];
    session_.chat->undo();
    session_.chat->add_user(question);
    answer();
  }

  void save(const std::string& file) {
    if (file.empty()) {
      complain("/save needs the name of a file");
      return;
    }
    std::ofstream out(file);
    out << session_.chat->messages().dump(2) << "\n";
    if (!out.flush()) complain(file + ": cannot write this file");
  }

  static void complain(const std::string& message) {
    flush_output();
    std::fprintf(stderr, "m2: %s\n", message.c_str());
  }

  const ChatOptions& options_;
  Session session_;
  GenerationConfig generation_;
  bool stats_;
};

}  // namespace

void add_chat_command(CLI::App& app) {
  auto options = std::make_shared<ChatOptions>();
  CLI::App* command = app.add_subcommand("chat", "Talk to a model in the terminal");
  add_session_options(*command, options->session);
  command->add_option(
      "--tool-command", options->tool_command,
      "Shell command that answers tool calls: {\"name\", \"arguments\"} on its standard input, "
      "the result on its standard output (default: type the result)");
  command->footer("Not on a terminal, every line of standard input is a message.");
  command->callback([options] { Chat(*options).run(); });
}

}  // namespace m2::app
