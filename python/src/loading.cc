#include "loading.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/vector.h>

#include "m2/error.h"

#include <cstdint>
#include <map>
#include <vector>

namespace m2::python {
namespace {

DeviceMap read_device_map(Keywords& keywords) {
  DeviceMap map;
  keywords.take("device_map", map.policy);
  keywords.take("device_map_modules", map.modules);
  keywords.take("max_memory", map.max_memory);
  return map;
}

std::optional<MiniMaxM2Config> read_config(Keywords& keywords, bool strict) {
  std::string text;
  keywords.take("config", text);
  if (text.empty()) return std::nullopt;
  return MiniMaxM2Config::from_json(text, {.strict = strict});
}

std::vector<std::int64_t> dims(const Shape& shape) {
  std::vector<std::int64_t> result;
  for (int axis = 0; axis < shape.rank(); ++axis) result.push_back(shape[axis]);
  return result;
}

}  // namespace

FromPretrainedOptions read_loading_options(Keywords& keywords, InterruptibleCall& call) {
  FromPretrainedOptions options;
  keywords.take("strict", options.strict);
  options.config = read_config(keywords, options.strict);
  options.device_map = read_device_map(keywords);
  keywords.take("dtype", options.dtype);
  keywords.take("variant", options.variant);
  keywords.take("attn_implementation", options.attn_implementation);
  bool initialize_missing = false;
  keywords.take("initialize_missing", initialize_missing);
  if (initialize_missing) options.missing_tensors = MissingTensors::kInitialize;
  keywords.take("ignore_mismatched_sizes", options.ignore_mismatched_sizes);
  keywords.take("dequantize", options.dequantize);
  keywords.take("seed", options.seed);
  keywords.take("num_threads", options.num_threads);
  keywords.take("cpu_mask", options.cpu_mask);
  const nb::handle progress = keywords.pop_callback("progress");
  options.progress = [&call, progress](std::int64_t done, std::int64_t total) {
    const bool goes_on = call.guard([&] {
      if (progress.is_valid()) progress(done, total);
    });
    if (!goes_on) throw Error(ErrorCode::kCancelled, "from_pretrained: interrupted");
  };
  keywords.finish("from_pretrained");
  return options;
}

FromConfigOptions read_config_options(Keywords& keywords) {
  FromConfigOptions options;
  options.device_map = read_device_map(keywords);
  keywords.take("strict", options.strict);
  keywords.take("dtype", options.dtype);
  keywords.take("attn_implementation", options.attn_implementation);
  keywords.take("seed", options.seed);
  keywords.take("num_threads", options.num_threads);
  keywords.finish("from_config");
  return options;
}

SavePretrainedOptions read_saving_options(Keywords& keywords) {
  SavePretrainedOptions options;
  keywords.take("max_shard_size", options.max_shard_size);
  keywords.take("variant", options.variant);
  keywords.take("save_original_format", options.save_original_format);
  keywords.finish("save_pretrained");
  return options;
}

nb::dict to_dict(const LoadingInfo& info) {
  nb::list mismatched;
  for (const MismatchedKey& key : info.mismatched_keys) {
    mismatched.append(nb::make_tuple(key.name, nb::tuple(nb::cast(dims(key.file_shape))),
                                     nb::tuple(nb::cast(dims(key.model_shape)))));
  }
  nb::dict dict;
  dict["missing_keys"] = nb::cast(info.missing_keys);
  dict["unexpected_keys"] = nb::cast(info.unexpected_keys);
  dict["mismatched_keys"] = mismatched;
  dict["error_msgs"] = nb::cast(info.error_msgs);
  dict["warnings"] = nb::cast(info.warnings);
  dict["device_map"] = nb::cast(info.device_map);
  dict["device_report"] = info.device_report;
  return dict;
}

}  // namespace m2::python
