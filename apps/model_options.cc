#include "model_options.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "input_output.h"
#include "m2/error.h"

namespace m2::app {

void add_model_options(CLI::App& command, ModelOptions& options) {
  command
      .add_option("-m,--model", options.name,
                  "Model directory (config.json, safetensors), GGUF file or hub id")
      ->required();
  command.add_option("-t,--threads", options.num_threads, "Threads (default: every core)")
      ->check(CLI::Range(1, 1024));
  command.add_option("-C,--cpu-mask", options.cpu_mask,
                     "Processors to stay on: a mask (0xF0) or a list (0-3,8)");
  command
      .add_option("--expert-cache", options.expert_cache,
                  "Memory for experts of a model larger than memory: \"12GB\", \"0\" or \"auto\"")
      ->capture_default_str();
  command
      .add_option(
          "--device-map,--device", options.device_map,
          "\"cpu\", \"cuda\", \"cuda:<index>\", \"auto\", \"balanced\", \"balanced_low_0\" or "
          "\"sequential\"")
      ->capture_default_str();
  command
      .add_option("--n-cpu-moe", options.cpu_moe_layers,
                  "Experts of the first N layers stay in RAM and are computed there; the rest goes "
                  "to the device")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--dtype", options.dtype,
                  "Type of the weights: \"auto\", \"float32\", \"bfloat16\" or \"float16\"")
      ->capture_default_str();
  command.add_option("--revision", options.revision, "Branch, tag or commit of a hub id")
      ->capture_default_str();
}

namespace {

DeviceMap device_map_of(const ModelOptions& options) {
  if (options.cpu_moe_layers == 0) return options.device_map;
  if (!options.device_map.starts_with("cuda")) {
    throw Error(ErrorCode::kInvalidArgument,
                "--n-cpu-moe: expected --device \"cuda\" or \"cuda:<index>\" with it, got \"" +
                    options.device_map + "\"");
  }
  DeviceMap map;
  map.modules[""] = options.device_map;
  for (std::int64_t i = 0; i < options.cpu_moe_layers; ++i) {
    map.modules["model.layers." + std::to_string(i) + ".mlp"] = "cpu";
  }
  return map;
}

}  // namespace

std::unique_ptr<LoadedModel> load_model(const ModelOptions& options) {
  LoadProgressLine line;
  FromPretrainedOptions load;
  load.device_map = device_map_of(options);
  load.dtype = options.dtype;
  load.revision = options.revision;
  load.num_threads = options.num_threads;
  load.cpu_mask = options.cpu_mask;
  load.expert_cache = options.expert_cache;
  load.progress = [&](std::int64_t done, std::int64_t total) { line.show(done, total); };
  auto loaded = std::make_unique<LoadedModel>(options.name, load);
  for (const std::string& warning : loaded->info().warnings) {
    std::fprintf(stderr, "m2: warning: %s\n", warning.c_str());
  }
  if (options.device_map != "cpu") std::fputs(loaded->info().device_report.c_str(), stderr);
  return loaded;
}

}  // namespace m2::app
