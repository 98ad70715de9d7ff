#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <utility>

#include "api/build_model.h"
#include "base/cpu_set.h"
#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "gguf/gguf.h"
#include "hub/model_directory.h"
#include "m2/modeling.h"
#include "model/torch_dtype.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

DType require_dtype(const std::string& name) {
  const auto dtype = weight_dtype(name);
  M2_REQUIRE(ErrorCode::kInvalidArgument, dtype.has_value(), "dtype: \"", name,
             "\": expected \"auto\", \"float32\", \"bfloat16\" or \"float16\"");
  return *dtype;
}

fs::path find_directory(const std::string& name, const FromPretrainedOptions& options) {
  HubOptions hub;
  hub.revision = options.revision;
  hub.cache_dir = options.cache_dir;
  hub.token = options.token;
  hub.force_download = options.force_download;
  hub.local_files_only = options.local_files_only;
  const std::string folder = options.subfolder.empty() ? "" : options.subfolder + "/";
  hub.allow_patterns = {folder + "*.json", folder + "*.safetensors"};
  return hub::model_directory(name, hub, options.subfolder);
}

// What "auto" means to the reference: the config's type, the index's, else that of the first
// floating tensor.
std::optional<std::string> auto_dtype(const MiniMaxM2Config& config, const Checkpoint& checkpoint) {
  if (config.dtype.has_value()) return config.dtype;
  if (checkpoint.index_dtype().has_value()) return checkpoint.index_dtype();
  for (const CheckpointTensor& tensor : checkpoint.tensors()) {
    if (is_floating(tensor.view.dtype)) return torch_dtype_name(tensor.view.dtype);
  }
  return std::nullopt;
}

WeightLoadOptions weight_options(const FromPretrainedOptions& options, bool head,
                                 const std::optional<std::string>& auto_name) {
  WeightLoadOptions result;
  if (options.dtype != "auto") {
    result.dtype = require_dtype(options.dtype);
  } else if (options.strict && auto_name.has_value()) {
    result.dtype = weight_dtype(*auto_name);
  }
  result.dequantize = options.dequantize;
  result.strict = options.strict;
  result.initialize_missing = options.missing_tensors == MissingTensors::kInitialize;
  result.initialize_mismatched = options.ignore_mismatched_sizes;
  result.seed = options.seed;
  result.head = head;
  return result;
}

void describe(LoadReport& report, const WeightLoadOptions& options, LoadingInfo& info) {
  std::ranges::move(report.warnings, std::back_inserter(info.warnings));
  for (const std::string& name : report.unexpected) {
    info.warnings.push_back("unexpected tensor " + name + " is not used");
  }
  if (options.initialize_missing) {
    for (const std::string& name : report.missing) {
      info.warnings.push_back("missing tensor " + name + " has random values");
    }
  }
  if (options.initialize_mismatched) {
    for (const auto& [name, file_shape, model_shape] : report.mismatched) {
      info.warnings.push_back(name + " is " + file_shape.to_string() + " in the file and " +
                              model_shape.to_string() + " in the model; it has random values");
    }
  }
  info.missing_keys = std::move(report.missing_keys);
  info.unexpected_keys = std::move(report.unexpected_keys);
  for (auto& [name, file_shape, model_shape] : report.mismatched_keys) {
    info.mismatched_keys.push_back({std::move(name), file_shape, model_shape});
  }
  info.error_msgs = std::move(report.error_msgs);
}

// Runs `load`; the report is told even when it throws.
ModelWeights load_and_describe(const MiniMaxM2Config& config,
                               const std::shared_ptr<const Checkpoint>& checkpoint,
                               const WeightLoadOptions& options, const LoadProgress& progress,
                               LoadingInfo& info) {
  LoadReport report;
  try {
    ModelWeights weights = load_weights(config, checkpoint, &report, progress, options);
    describe(report, options, info);
    return weights;
  } catch (const Error&) {
    describe(report, options, info);
    throw;
  }
}

GenerationConfig load_generation_config(const fs::path& directory) {
  for (const char* file : {"generation_config.json", "config.json"}) {
    if (fs::exists(directory / file)) return GenerationConfig::from_pretrained(directory);
  }
  if (find_gguf(directory).has_value()) return GenerationConfig::from_pretrained(directory);
  return {};
}

std::shared_ptr<MiniMaxM2Model::Impl> load(const std::string& name,
                                           const FromPretrainedOptions& options, bool head,
                                           LoadingInfo* info_out) {
  LoadingInfo local;
  LoadingInfo& info = info_out != nullptr ? *info_out : local;
  info = {};
  const fs::path directory = find_directory(name, options);
  MiniMaxM2Config config =
      options.config ? *options.config
                     : MiniMaxM2Config::from_pretrained(
                           directory, {.strict = options.strict, .warnings = &info.warnings});
  const auto checkpoint = Checkpoint::open(directory, {.variant = options.variant});
  const auto auto_name = auto_dtype(config, *checkpoint);
  const WeightLoadOptions load_options = weight_options(options, head, auto_name);
  auto weights = std::make_shared<const ModelWeights>(
      load_and_describe(config, checkpoint, load_options, options.progress, info));
  config.dtype = options.dtype == "auto" ? auto_name : torch_dtype_name(*load_options.dtype);
  if (config.quantization && (options.dequantize || config.quantization->dequantize)) {
    config.quantization.reset();
  }
  BuildOptions build = {options.device_map,   options.attn_implementation,
                        options.num_threads,  {},
                        options.expert_cache, checkpoint};
  if (!options.cpu_mask.empty()) build.cpus = parse_cpu_set(options.cpu_mask);
  BuiltModel built = build_model(config, std::move(weights), build);
  built.impl->generation_config = load_generation_config(directory);
  info.device_map = built.plan.devices;
  info.device_report = std::move(built.plan.report);
  return built.impl;
}

// What a configuration says about generation; its class's defaults count here, as no file is read.
GenerationConfig generation_config_of(const MiniMaxM2Config& config) {
  const auto id = [](std::int64_t value) { return static_cast<std::int32_t>(value); };
  GenerationConfig result;
  if (config.bos_token_id) result.bos_token_id = id(*config.bos_token_id);
  if (config.pad_token_id) result.pad_token_id = id(*config.pad_token_id);
  if (!config.eos_token_ids.empty()) {
    result.eos_token_id.emplace();
    std::ranges::transform(config.eos_token_ids, std::back_inserter(*result.eos_token_id), id);
  }
  result.use_cache = config.use_cache;
  result.output_hidden_states = config.output_hidden_states;
  result.output_attentions = config.output_attentions;
  result.neutral["_from_model_config"] = "true";
  return result;
}

std::shared_ptr<MiniMaxM2Model::Impl> make(MiniMaxM2Config config, const FromConfigOptions& options,
                                           bool head) {
  const DType dtype = require_dtype(options.dtype);
  config.validate();
  config.dtype = torch_dtype_name(dtype);
  config.quantization.reset();  // nothing is quantised on the way
  WeightLoadOptions weights;
  weights.dtype = dtype;
  weights.initialize_missing = true;
  weights.seed = options.seed;
  weights.head = head;
  auto impl =
      build_model(
          config,
          std::make_shared<const ModelWeights>(
              load_weights(config, Checkpoint::empty(), nullptr, {}, weights)),
          {options.device_map, options.attn_implementation, options.num_threads, {}, "0", nullptr})
          .impl;
  impl->generation_config = generation_config_of(config);
  return impl;
}

}  // namespace

MiniMaxM2ForCausalLM::MiniMaxM2ForCausalLM(const MiniMaxM2Config& config,
                                           const FromConfigOptions& options)
    : impl_(make(config, options, /*head=*/true)) {}

MiniMaxM2Model::MiniMaxM2Model(const MiniMaxM2Config& config, const FromConfigOptions& options)
    : impl_(make(config, options, /*head=*/false)) {}

MiniMaxM2ForCausalLM MiniMaxM2ForCausalLM::from_pretrained(const std::string& name,
                                                           const FromPretrainedOptions& options,
                                                           LoadingInfo* info) {
  return MiniMaxM2ForCausalLM(load(name, options, /*head=*/true, info));
}

MiniMaxM2Model MiniMaxM2Model::from_pretrained(const std::string& name,
                                               const FromPretrainedOptions& options,
                                               LoadingInfo* info) {
  return MiniMaxM2Model(load(name, options, /*head=*/false, info));
}

}  // namespace m2
