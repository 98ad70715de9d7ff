#include "quantizer/quantize.h"

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/atomic_file.h"
#include "base/byte_size.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "m2/version.h"
#include "model/inspect.h"
#include "model/weight_shards.h"
#include "quantizer/journal.h"
#include "quantizer/model_files.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Tensors whose pages are asked for before they are due.
constexpr std::size_t kTensorsAhead = 8;

// A tensor of the result, and what it comes from.
struct Conversion {
  SavedTensor source;
  TargetFormat target;
  TensorResult result;       // complete once the tensor was written
  std::size_t position = 0;  // among the tensors of the result
};

std::vector<std::int64_t> dims_of(const Shape& shape) {
  std::vector<std::int64_t> dims;
  for (int axis = 0; axis < shape.rank(); ++axis) dims.push_back(shape[axis]);
  return dims;
}

std::string storage_of(const SavedTensor& tensor) {
  const bool blocks = tensor.block_format != BlockFormat::kNone;
  return std::string(blocks ? block_format_name(tensor.block_format) : dtype_name(tensor.dtype));
}

bool changes(const SavedTensor& tensor, const TargetFormat& target) {
  if (target.is_stored()) return false;
  if (target.is_blocks()) return target.block_format != tensor.block_format;
  return tensor.block_format != BlockFormat::kNone || target.dtype != tensor.dtype;
}

class Quantizer {
 public:
  Quantizer(const fs::path& source, const fs::path& destination, const QuantizeOptions& options)
      : source_(source),
        destination_(destination),
        options_(options),
        config_(MiniMaxM2Config::from_pretrained(source)),
        checkpoint_(Checkpoint::open(source)),
        weights_(load_weights(config_, checkpoint_)),
        pool_(options.num_threads) {
    shard_options_.max_shard_bytes = parse_byte_size(options.max_shard_size, "max_shard_size");
    plan_tensors();
  }

  QuantizeResult run();

 private:
  void plan_tensors();
  SavedTensor converted(Conversion& conversion);
  [[nodiscard]] Json plan() const;
  [[nodiscard]] std::vector<TensorResult> write(const WeightShard& shard);
  void begin(const Conversion& conversion) const;
  void finish(const Conversion& conversion);
  void write_index(const std::vector<WeightShard>& shards) const;
  [[nodiscard]] MiniMaxM2Config new_config() const;

  const fs::path& source_;
  const fs::path& destination_;
  const QuantizeOptions& options_;
  MiniMaxM2Config config_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  ModelWeights weights_;
  ThreadPool pool_;
  SaveWeightsOptions shard_options_;
  std::vector<Conversion> conversions_;
  std::vector<SavedTensor> tensors_;  // of the result, in the order of the files
  std::unordered_map<std::string, Conversion*> by_name_;
  QuantizeProgress progress_;
};

void Quantizer::plan_tensors() {
  std::vector<SavedTensor> sources = saved_tensors(weights_, {});
  const auto targets = options_.recipe.choose(sources, weights_.tied);
  std::unordered_set<std::string> dropped;  // scales of what is no longer FP8
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (changes(sources[i], targets[i])) {
      dropped.insert(sources[i].name + std::string(kScaleSuffix));
    }
  }
  conversions_.reserve(sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (dropped.contains(sources[i].name)) continue;
    conversions_.push_back({std::move(sources[i]), targets[i], {}});
  }
  for (Conversion& conversion : conversions_) {
    by_name_[conversion.source.name] = &conversion;
    tensors_.push_back(converted(conversion));
    progress_.total_bytes += conversion.result.bytes_before;
  }
  keep_experts_together(tensors_);
  for (std::size_t i = 0; i < tensors_.size(); ++i) by_name_.at(tensors_[i].name)->position = i;
}

// The tensor as it will be in the result; its producer converts and measures.
SavedTensor Quantizer::converted(Conversion& conversion) {
  SavedTensor tensor = conversion.source;
  TensorResult& result = conversion.result;
  result = {.name = tensor.name, .shape = dims_of(tensor.shape), .from = storage_of(tensor)};
  result.bytes_before = tensor.num_bytes();
  if (changes(conversion.source, conversion.target)) {
    if (tensor.view.scale != nullptr) result.bytes_before = tensor.view.num_bytes();
    const TargetFormat& target = conversion.target;
    tensor.block_format = target.block_format;
    tensor.dtype = target.is_blocks() ? DType::kU8 : *target.dtype;
    tensor.producer = [this, &conversion](const SafetensorsWriter::Sink& sink) {
      const SavedTensor& from = conversion.source;
      conversion.result.error = encode_matrix(from.view, conversion.target, from.name, pool_, sink);
    };
  }
  result.to = storage_of(tensor);
  result.bytes_after = tensor.num_bytes();
  // Every producer is where a tensor is done.
  tensor.producer = [this, &conversion,
                     produce = std::move(tensor.producer)](const SafetensorsWriter::Sink& sink) {
    begin(conversion);
    produce(sink);
    finish(conversion);
  };
  return tensor;
}

void Quantizer::begin(const Conversion& conversion) const {
  M2_REQUIRE(ErrorCode::kCancelled, !options_.stop.stop_requested(), "quantize: interrupted");
  const std::size_t ahead = conversion.position + kTensorsAhead;
  if (ahead >= tensors_.size()) return;
  const WeightView& view = tensors_[ahead].view;
  if (view.present()) prefetch_memory(view.data, static_cast<std::size_t>(view.num_bytes()));
}

void Quantizer::finish(const Conversion& conversion) {
  const WeightView& view = conversion.source.view;
  const auto bytes = static_cast<std::size_t>(view.present() ? view.num_bytes() : 0);
  if (checkpoint_->locate(view.data, bytes)) release_mapping(view.data, bytes);
  progress_.done_bytes += conversion.result.bytes_before;
  progress_.tensor = conversion.result.name;
  if (options_.progress) options_.progress(progress_);
}

// Everything that decides which bytes the shards have.
Json Quantizer::plan() const {
  Json rules = Json::array();
  for (const TensorRule& rule : options_.recipe.rules) {
    rules.push_back(rule.pattern + "=" + std::string(target_format_name(rule.format)));
  }
  return {{"version", M2_VERSION},
          {"format", target_format_name(options_.recipe.format)},
          {"rules", std::move(rules)},
          {"max_shard_bytes", shard_options_.max_shard_bytes},
          {"source files", source_identity(source_)}};
}

std::vector<TensorResult> Quantizer::write(const WeightShard& shard) {
  AtomicFile file(destination_ / shard.file);
  write_shard(shard, file);
  file.commit();
  std::vector<TensorResult> results;
  for (const SavedTensor* tensor : shard.tensors) {
    results.push_back(by_name_.at(tensor->name)->result);
  }
  return results;
}

void Quantizer::write_index(const std::vector<WeightShard>& shards) const {
  if (shards.size() == 1) return;
  const std::string text = shard_index_text(config_, shards, shard_options_);
  AtomicFile file(destination_ / shard_index_name(shard_options_));
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

MiniMaxM2Config Quantizer::new_config() const {
  const auto any = [&](auto predicate) { return std::ranges::any_of(tensors_, predicate); };
  const bool blocks = any([](const SavedTensor& t) { return t.dtype == DType::kU8; });
  const bool fp8 = any([](const SavedTensor& t) { return t.dtype == DType::kF8E4M3; });
  MiniMaxM2Config config = config_;
  std::erase_if(config.spellings,
                [&](const auto& entry) { return !fp8 && entry.first == "quantization_config"; });
  if (!fp8) config.quantization.reset();
  if (!blocks) return config;
  if (!config.quantization) config.quantization.emplace();
  config.quantization->quant_method = kBlockQuantMethod;
  return config;
}

QuantizeResult Quantizer::run() {
  const std::vector<WeightShard> shards = plan_shards(tensors_, shard_options_);
  QuantizeJournal journal(destination_, plan());
  QuantizeResult result = {.num_shards = std::ssize(shards)};
  for (const WeightShard& shard : shards) {
    auto results = journal.finished(shard.file);
    if (results) {
      ++result.kept_shards;
      for (const TensorResult& kept : *results) progress_.total_bytes -= kept.bytes_before;
    } else {
      results = write(shard);
      journal.add(shard.file, *results);
    }
    std::ranges::move(*results, std::back_inserter(result.tensors));
  }
  write_index(shards);
  copy_other_files(source_, destination_);
  new_config().save_pretrained(destination_);
  journal.remove();
  return result;
}

}  // namespace

QuantizeResult quantize(const fs::path& source, const fs::path& destination,
                        const QuantizeOptions& options) {
  return Quantizer(source, destination, options).run();
}

}  // namespace m2
