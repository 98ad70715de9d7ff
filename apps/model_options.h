// Loading a model, the same way in every command.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "service/loaded_model.h"

namespace CLI {
class App;
}

namespace m2::app {

struct ModelOptions {
  std::filesystem::path directory;
  int num_threads = 0;
  std::string device = "cpu";
};

/// --model, --threads and --device.
void add_model_options(CLI::App& command, ModelOptions& options);

/// Loads with a progress line and prints warnings on standard error.
std::unique_ptr<LoadedModel> load_model(const ModelOptions& options);

}  // namespace m2::app
