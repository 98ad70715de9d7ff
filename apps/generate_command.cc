// m2 generate: one prompt or a batch of token ids, continued.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "input_output.h"
#include "m2/error.h"
#include "service/batch_inputs.h"
#include "session_options.h"

namespace m2::app {
namespace {

struct GenerateOptions {
  SessionOptions session;
  std::optional<std::string> prompt;
  std::string messages;
  std::string inputs;
  bool raw = false;
  bool json = false;
};

Json timings_json(const GenerationTimings& timings) {
  return {{"prompt_tokens", timings.prompt_tokens},
          {"cached_prompt_tokens", timings.cached_prompt_tokens},
          {"new_tokens", timings.new_tokens},
          {"prompt_seconds", timings.prompt_seconds},
          {"generation_seconds", timings.generation_seconds},
          {"prompt_tokens_per_second", timings.prompt_tokens_per_second()},
          {"new_tokens_per_second", timings.new_tokens_per_second()},
          {"peak_memory_bytes", peak_memory_bytes()}};
}

void warn(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) {
    std::fprintf(stderr, "m2: warning: %s\n", warning.c_str());
  }
}

void report_end(const GenerateOptions& options, const GenerationTimings& timings, bool cancelled) {
  flush_output();
  if (options.session.stats) {
    std::fprintf(stderr, "m2: %s, peak memory %s\n", describe(timings).c_str(),
                 format_bytes(peak_memory_bytes()).c_str());
  }
  if (cancelled) throw Error(ErrorCode::kCancelled, "generation was cancelled");
}

std::vector<std::vector<std::int64_t>> rows_of(const Tensor& sequences) {
  std::vector<std::vector<std::int64_t>> rows;
  const std::int64_t columns = sequences.shape()[1];
  for (std::int64_t row = 0; row < sequences.shape()[0]; ++row) {
    const auto* ids = sequences.as<std::int64_t>() + row * columns;
    rows.emplace_back(ids, ids + columns);
  }
  return rows;
}

void generate_ids(const GenerateOptions& options) {
  const BatchInputs inputs = parse_batch_inputs(read_text(options.inputs), options.inputs);
  const auto loaded = load_model(options.session.model);
  const InterruptScope interrupt;
  const GenerateOutput output =
      loaded->generate(inputs.generate_inputs(), generation_config_of(options.session.generation),
                       interrupt.stop_token());
  warn(output.warnings);
  print_json({{"sequences", rows_of(output.sequences)}});
}

void continue_text(const GenerateOptions& options, const std::string& prompt) {
  const auto loaded = load_model(options.session.model);
  TextGenerator generator(*loaded, generator_options(options.session));
  const InterruptScope interrupt;
  const TextResult result = generator.generate(
      loaded->tokenizer().encode_ids(prompt), generation_config_of(options.session.generation),
      [&](std::string_view text) {
        if (!options.json) {
          print(text);
          flush_output();
        }
        return true;
      },
      interrupt.stop_token());
  warn(result.warnings);
  if (options.json) {
    print_json({{"text", result.text},
                {"ids", result.ids},
                {"finish_reason", result.finish_reason == FinishReason::kStop ? "stop" : "length"},
                {"timings", timings_json(result.timings)}});
  } else {
    print("\n");
  }
  report_end(options, result.timings, result.finish_reason == FinishReason::kCancelled);
}

std::string prompt_of(const GenerateOptions& options) {
  return options.prompt ? *options.prompt : read_stdin();
}

void answer(const GenerateOptions& options) {
  const Session session = open_session(options.session);
  if (options.messages.empty()) {
    session.chat->add_user(prompt_of(options));
  } else {
    session.chat->add_messages(read_json(options.messages));
  }
  ReplyPrinter printer(thinking_display(options.session));
  const InterruptScope interrupt;
  const ChatReply reply = session.chat->reply(
      generation_config_of(options.session.generation),
      [&](const ChatEvent& event) {
        if (!options.json) printer.show(event);
      },
      interrupt.stop_token());
  warn(reply.warnings);
  if (options.json) {
    print_json({{"message", reply.message},
                {"finish_reason", reply.finish_reason},
                {"timings", timings_json(reply.timings)}});
  } else {
    printer.finish();
  }
  report_end(options, reply.timings, reply.finish_reason == "cancelled");
}

void generate(const GenerateOptions& options) {
  if (!options.inputs.empty()) {
    generate_ids(options);
  } else if (options.raw) {
    continue_text(options, prompt_of(options));
  } else {
    answer(options);
  }
}

}  // namespace

void add_generate_command(CLI::App& app) {
  auto options = std::make_shared<GenerateOptions>();
  CLI::App* command =
      app.add_subcommand("generate", "Answer a prompt or a conversation, or continue token ids");
  add_session_options(*command, options->session);
  command->add_option("-p,--prompt", options->prompt, "The prompt (default: standard input)");
  command->add_flag("--raw", options->raw,
                    "Continue the text as it is instead of answering it as a chat message");
  command
      ->add_option("--messages", options->messages,
                   "JSON list of messages, answered as they stand; - is standard input")
      ->excludes("--prompt")
      ->excludes("--raw");
  command
      ->add_option("--inputs", options->inputs,
                   "JSON with rows of input_ids and, optionally, attention_mask and position_ids; "
                   "prints {\"sequences\"}")
      ->excludes("--prompt")
      ->excludes("--messages")
      ->excludes("--raw");
  command->add_flag("--json", options->json, "Print the message or the text as JSON");
  command->callback([options] { generate(*options); });
}

}  // namespace m2::app
