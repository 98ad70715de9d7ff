// Loading a model, the same way in every command.
#pragma once

#include <memory>
#include <string>

#include "service/loaded_model.h"

namespace CLI {
class App;
}

namespace m2::app {

struct ModelOptions {
  std::string name;  // directory or hub id
  int num_threads = 0;
  std::string cpu_mask;
  std::string expert_cache = "auto";
  std::string device_map = "cpu";
  std::int64_t cpu_moe_layers = 0;  // experts of the first layers stay with the processor
  std::string dtype = "auto";
  std::string revision = "main";
};

/// --model, --threads, --cpu-mask, --expert-cache, --device-map,
/// --n-cpu-moe, --dtype and --revision.
void add_model_options(CLI::App& command, ModelOptions& options);

/// Loads with a progress line; prints warnings, and where modules went when there was a choice, on
/// standard error.
std::unique_ptr<LoadedModel> load_model(const ModelOptions& options);

}  // namespace m2::app
