// The sampling options of chat and generate.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "m2/generation_config.h"

namespace CLI {
class App;
}

namespace m2::app {

struct GenerationOptions {
  std::string config_file;
  bool greedy = false;
  std::optional<double> temperature;
  std::optional<std::int64_t> top_k;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<std::int64_t> seed;
  std::optional<std::int64_t> max_new_tokens;
  std::vector<std::string> stop_strings;
};

void add_generation_options(CLI::App& command, GenerationOptions& options);

/// What the options set, over what --generation-config says. A temperature of 0 is greedy; any
/// other sampling option turns sampling on.
GenerationConfig generation_config_of(const GenerationOptions& options);

}  // namespace m2::app
