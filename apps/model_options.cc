#include "model_options.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "input_output.h"

namespace m2::app {

void add_model_options(CLI::App& command, ModelOptions& options) {
  command.add_option("-m,--model", options.directory, "Model directory (config.json, safetensors)")
      ->required();
  command.add_option("-t,--threads", options.num_threads, "Threads (default: every core)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--device", options.device, "\"cpu\", \"cuda\" or \"cuda:<index>\"")
      ->capture_default_str();
}

std::unique_ptr<LoadedModel> load_model(const ModelOptions& options) {
  LoadProgressLine line;
  auto loaded = std::make_unique<LoadedModel>(
      options.directory, LoadOptions{.device = options.device,
                                     .num_threads = options.num_threads,
                                     .progress = [&](std::int64_t done, std::int64_t total) {
                                       line.show(done, total);
                                     }});
  for (const std::string& warning : loaded->warnings()) {
    std::fprintf(stderr, "m2: warning: %s\n", warning.c_str());
  }
  return loaded;
}

}  // namespace m2::app
