#include "generation_options.h"

#include <CLI/CLI.hpp>

#include "input_output.h"

namespace m2::app {

void add_generation_options(CLI::App& command, GenerationOptions& options) {
  const std::string group = "Generation (defaults: the model's generation_config.json)";
  const auto add = [&](const char* name, auto& target, const char* help) {
    return command.add_option(name, target, help)->group(group);
  };
  add("--generation-config", options.config_file, "JSON with fields of generation_config.json");
  add("-n,--max-new-tokens", options.max_new_tokens, "Longest answer in tokens")
      ->check(CLI::PositiveNumber);
  command.add_flag("--greedy", options.greedy, "Always the most likely token")->group(group);
  add("--temperature", options.temperature, "Sampling temperature; 0 is greedy")
      ->check(CLI::NonNegativeNumber);
  add("--top-k", options.top_k, "Sample among the k most likely tokens; 0 is off")
      ->check(CLI::NonNegativeNumber);
  add("--top-p", options.top_p, "Sample among the tokens that hold this probability mass")
      ->check(CLI::Range(0.0, 1.0));
  add("--min-p", options.min_p, "Drop tokens below this share of the best one's probability")
      ->check(CLI::Range(0.0, 1.0));
  add("--repetition-penalty", options.repetition_penalty, "Above 1: fewer repetitions")
      ->check(CLI::PositiveNumber);
  add("--seed", options.seed, "Seed of the sampling; the same seed gives the same text");
  add("--stop", options.stop_strings, "Stop before this text; may be given several times");
}

GenerationConfig generation_config_of(const GenerationOptions& options) {
  GenerationConfig config;
  if (!options.config_file.empty()) {
    config.update_from_json(read_text(options.config_file));
  }
  const bool zero_temperature = options.temperature == 0.0;
  if (options.greedy || zero_temperature) {
    config.do_sample = false;
  } else if (options.temperature || options.top_k || options.top_p || options.min_p) {
    config.do_sample = true;
  }
  if (options.temperature && !zero_temperature) config.temperature = options.temperature;
  if (options.top_k) config.top_k = options.top_k;
  if (options.top_p) config.top_p = options.top_p;
  if (options.min_p) config.min_p = options.min_p;
  if (options.repetition_penalty) config.repetition_penalty = options.repetition_penalty;
  if (options.seed) config.seed = options.seed;
  if (options.max_new_tokens) config.max_new_tokens = options.max_new_tokens;
  if (!options.stop_strings.empty()) config.stop_strings = options.stop_strings;
  return config;
}

}  // namespace m2::app
