#include "bench/benchmark_model.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "backends/backends.h"
#include "base/cpu_set.h"
#include "base/error.h"
#include "bench/random_model.h"

namespace m2::bench {
namespace {

std::string gigabytes(std::int64_t bytes) {
  std::ostringstream out;
  out.precision(1);
  out << std::fixed << static_cast<double>(bytes) * 1e-9 << " GB";
  return out.str();
}

std::int64_t free_bytes(const std::string& device) {
  for (const DeviceInfo& info : list_devices()) {
    if (info.name == device || (device == "cuda" && info.name.starts_with("cuda"))) {
      return info.free_bytes;
    }
  }
  return 0;
}

MiniMaxM2Config read_config(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) return MiniMaxM2Config::from_pretrained(path);
  constexpr std::uintmax_t kMostBytes = 16U << 20U;
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::filesystem::file_size(path) <= kMostBytes,
             path.string(), ": too large for a config.json");
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return MiniMaxM2Config::from_json(text.str());
}

}  // namespace

BenchModel::BenchModel(const BenchModelOptions& options) : options_(options) {
  if (!options.cpu_mask.empty()) cpus_ = parse_cpu_set(options.cpu_mask);
  if (options.random_weights) {
    make();
    return;
  }
  M2_REQUIRE(ErrorCode::kInvalidArgument, !options.model.empty(),
             "bench: expected a model directory, or random weights");
  M2_REQUIRE(ErrorCode::kInvalidArgument, !options.num_layers,
             "bench: the number of layers can be chosen for random weights only");
  load();
}

void BenchModel::load() {
  FromPretrainedOptions load;
  load.device_map = options_.device;
  load.dtype = options_.dtype;
  load.num_threads = options_.num_threads;
  load.cpu_mask = options_.cpu_mask;
  loaded_ = std::make_unique<LoadedModel>(options_.model, load);
  model_ = &loaded_->model();
  weights_ = &loaded_->causal_lm().weights();
}

MiniMaxM2Config BenchModel::random_config() const {
  MiniMaxM2Config config;
  if (options_.model.empty()) {
    config.rope.partial_rotary_factor = 0.5;
  } else {
    config = read_config(options_.model);
  }
  if (options_.num_layers) config.num_hidden_layers = *options_.num_layers;
  config.validate();
  return config;
}

void BenchModel::check_memory(const MiniMaxM2Config& config, const ModelFormats& formats) const {
  const std::int64_t free = free_bytes(options_.device);
  const std::int64_t needed = random_model_bytes(config, formats);
  if (free == 0 || needed <= free) return;
  MiniMaxM2Config one = config;
  one.num_hidden_layers = 1;
  MiniMaxM2Config two = config;
  two.num_hidden_layers = 2;
  const std::int64_t first = random_model_bytes(one, formats);
  const std::int64_t layer = random_model_bytes(two, formats) - first;
  fail(ErrorCode::kResourceExhausted, "bench: ", config.num_hidden_layers, " layers need ",
       gigabytes(needed), ", ", options_.device, " has ", gigabytes(free),
       " free: ", std::max<std::int64_t>(0, (free - first) / layer + 1), " layers would fit");
}

void BenchModel::make() {
  const MiniMaxM2Config config = random_config();
  ModelFormats formats = default_formats(weight_format_from_name(options_.format), options_.device);
  if (!options_.attention_format.empty()) {
    formats.attention = weight_format_from_name(options_.attention_format);
  }
  if (!options_.head_format.empty()) formats.head = weight_format_from_name(options_.head_format);
  backend_ = make_backend(options_.device, options_.num_threads, cpus_);
  check_memory(config, formats);
  made_ = make_random_model(config, formats, *backend_);
  random_ = std::make_unique<MiniMaxM2>(config, made_, *backend_);
  model_ = random_.get();
  weights_ = made_.get();
}

std::string BenchModel::formats() const {
  const LayerWeights& layer = weights_->layers.front();
  const std::string experts = weight_format_name(layer.experts.front().gate);
  const std::string attention = weight_format_name(layer.q);
  const std::string head = weight_format_name(weights_->lm_head);
  return concat(experts, ", attention ", attention, ", head ", head);
}

MultiplyKind BenchModel::multiply_kind() const {
  const WeightView& expert = weights_->layers.front().experts.front().gate;
  const bool integers = expert.block_format != BlockFormat::kNone;
  const bool fp8 = expert.dtype == DType::kF8E4M3 && options_.device != "cpu";
  return integers || fp8 ? MultiplyKind::kNarrow : MultiplyKind::kWide;
}

std::unique_ptr<LimitProbe> BenchModel::make_probe() const {
  return make_limit_probe(options_.device, options_.num_threads, cpus_);
}

}  // namespace m2::bench
