#include "model/weight_shards.h"

#include <array>
#include <cstdio>
#include <utility>

#include "model/inspect.h"
#include "model/python_json.h"

namespace m2 {
namespace {

using Shard = std::vector<const SavedTensor*>;

// As the reference fills them: in order, a storage larger than the limit alone in a shard that is
// closed at once while the one being filled stays open.
std::vector<Shard> split(const std::vector<SavedTensor>& tensors, std::int64_t limit) {
  std::vector<Shard> shards;
  Shard open;
  std::int64_t open_bytes = 0;
  for (std::size_t begin = 0; begin < tensors.size();) {
    Shard storage;
    std::int64_t bytes = 0;
    const std::int64_t number = tensors[begin].storage;
    for (; begin < tensors.size() && tensors[begin].storage == number; ++begin) {
      storage.push_back(&tensors[begin]);
      bytes += tensors[begin].num_bytes();
    }
    if (bytes > limit) {
      shards.push_back(std::move(storage));
      continue;
    }
    if (open_bytes + bytes > limit) {
      shards.push_back(std::move(open));
      open = {};
      open_bytes = 0;
    }
    open.insert(open.end(), storage.begin(), storage.end());
    open_bytes += bytes;
  }
  if (!open.empty()) shards.push_back(std::move(open));
  return shards;
}

std::string shard_name(const SaveWeightsOptions& options, std::size_t shard, std::size_t count) {
  if (count == 1) return shard_stem(options) + ".safetensors";
  std::array<char, 32> suffix{};
  std::snprintf(suffix.data(), suffix.size(), "-%05zu-of-%05zu", shard + 1, count);
  return shard_stem(options) + suffix.data() + ".safetensors";
}

}  // namespace

std::vector<WeightShard> plan_shards(const std::vector<SavedTensor>& tensors,
                                     const SaveWeightsOptions& options) {
  std::vector<Shard> lists = split(tensors, options.max_shard_bytes);
  std::vector<WeightShard> shards;
  for (Shard& list : lists) {
    shards.push_back({shard_name(options, shards.size(), lists.size()), std::move(list)});
  }
  return shards;
}

std::string shard_stem(const SaveWeightsOptions& options) {
  return options.variant.empty() ? "model" : "model." + options.variant;
}

std::string shard_index_name(const SaveWeightsOptions& options) {
  return "model.safetensors.index" + (options.variant.empty() ? "" : "." + options.variant) +
         ".json";
}

std::string shard_index_text(const MiniMaxM2Config& config, const std::vector<WeightShard>& shards,
                             const SaveWeightsOptions& options) {
  std::int64_t bytes = 0;
  std::int64_t parameters = count_parameters(config).parameters();
  if (!options.head) parameters -= count_parameters(config).lm_head;
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (const WeightShard& shard : shards) {
    for (const SavedTensor* tensor : shard.tensors) {
      map[tensor->name] = shard.file;
      bytes += tensor->num_bytes();
      // Scales are parameters too for the reference.
      if (tensor->name.ends_with(kScaleSuffix)) parameters += tensor->shape.num_elements();
    }
  }
  return python_json_text({{"metadata", {{"total_parameters", parameters}, {"total_size", bytes}}},
                           {"weight_map", std::move(map)}});
}

void write_shard(const WeightShard& shard, AtomicFile& file) {
  SafetensorsWriter writer;
  for (const SavedTensor* tensor : shard.tensors) {
    if (tensor->block_format != BlockFormat::kNone) {
      writer.add_blocks(tensor->name, tensor->block_format, tensor->shape, tensor->producer);
    } else {
      writer.add(tensor->name, tensor->dtype, tensor->shape, tensor->producer);
    }
  }
  writer.write(file);
}

}  // namespace m2
