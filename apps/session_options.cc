#include "session_options.h"

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>

#include "input_output.h"

namespace m2::app {

void add_session_options(CLI::App& command, SessionOptions& options) {
  add_model_options(command, options.model);
  command.add_option("--tools", options.tools_file,
                     "JSON list of tools that the model may call (OpenAI's form)");
  command.add_option("--system", options.system, "System message");
  command
      .add_option("--thinking", options.thinking,
                  "Thinking: show, hide, off (the model does not think); auto shows it on a "
                  "terminal")
      ->check(CLI::IsMember({"auto", "show", "hide", "off"}));
  command
      .add_option("-c,--context", options.context,
                  "Tokens of context (default: the model's, if half of the free memory holds it)")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--kv-cache-dtype", options.kv_cache_dtype,
                  "Type of the KV cache: \"float32\", \"bfloat16\", \"fp8\" or \"int8\" (not on a "
                  "GPU); auto "
                  "takes bfloat16 on a GPU and float32 elsewhere")
      ->capture_default_str();
  command.add_flag("--stats", options.stats, "Print speed and peak memory on standard error");
  add_generation_options(command, options.generation);
}

Session open_session(const SessionOptions& options) {
  Session session;
  std::string tools;
  if (!options.tools_file.empty()) tools = read_json(options.tools_file).dump();
  session.loaded = load_model(options.model);
  session.generator = std::make_unique<TextGenerator>(*session.loaded, generator_options(options));
  session.chat = std::make_unique<ChatSession>(
      *session.generator, ChatTemplate::from_directory(session.loaded->path()),
      ChatSessionOptions{.tools_json = std::move(tools),
                         .system = options.system,
                         .enable_thinking = options.thinking != "off"});
  return session;
}

TextGeneratorOptions generator_options(const SessionOptions& options) {
  return {.context = options.context, .kv_cache_dtype = options.kv_cache_dtype};
}

ThinkingDisplay thinking_display(const SessionOptions& options) {
  const bool show =
      options.thinking == "show" || (options.thinking == "auto" && stdout_is_terminal());
  return show ? ThinkingDisplay::kShow : ThinkingDisplay::kHide;
}

std::string describe(const GenerationTimings& timings) {
  std::array<char, 200> text;
  std::snprintf(text.data(), text.size(),
                "%lld tokens in %.2f s (%.1f/s) after a prompt of %lld, %lld of them cached, "
                "in %.2f s (%.1f/s)",
                static_cast<long long>(timings.new_tokens), timings.generation_seconds,
                timings.new_tokens_per_second(), static_cast<long long>(timings.prompt_tokens),
                static_cast<long long>(timings.cached_prompt_tokens), timings.prompt_seconds,
                timings.prompt_tokens_per_second());
  std::string line = text.data();
  if (!timings.experts) return line;
  std::snprintf(text.data(), text.size(),
                ", experts found in memory %.1f %% (%.1f %% thanks to look-ahead), read ",
                100.0 * timings.experts->hit_rate(),
                timings.experts->total() == 0
                    ? 0.0
                    : 100.0 * static_cast<double>(timings.experts->look_ahead) /
                          static_cast<double>(timings.experts->total()));
  return line + text.data() + format_bytes(timings.experts->bytes_read);
}

}  // namespace m2::app
