#include "model/save_weights.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <set>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "model/inspect.h"
#include "model/python_json.h"
#include "model/saved_tensors.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

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

std::string stem(const SaveWeightsOptions& options) {
  return options.variant.empty() ? "model" : "model." + options.variant;
}

std::string index_name(const SaveWeightsOptions& options) {
  return "model.safetensors.index" + (options.variant.empty() ? "" : "." + options.variant) +
         ".json";
}

std::string shard_name(const SaveWeightsOptions& options, std::size_t shard, std::size_t count) {
  if (count == 1) return stem(options) + ".safetensors";
  std::array<char, 32> suffix{};
  std::snprintf(suffix.data(), suffix.size(), "-%05zu-of-%05zu", shard + 1, count);
  return stem(options) + suffix.data() + ".safetensors";
}

std::string index_text(const MiniMaxM2Config& config, const std::vector<Shard>& shards,
                       const SaveWeightsOptions& options) {
  std::int64_t bytes = 0;
  std::int64_t parameters = count_parameters(config).parameters();
  if (!options.head) parameters -= count_parameters(config).lm_head;
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string file = shard_name(options, i, shards.size());
    for (const SavedTensor* tensor : shards[i]) {
      map[tensor->name] = file;
      bytes += tensor->num_bytes();
      // Scales are parameters too for the reference.
      if (tensor->name.ends_with("_scale_inv")) parameters += tensor->shape.num_elements();
    }
  }
  return python_json_text({{"metadata", {{"total_parameters", parameters}, {"total_size", bytes}}},
                           {"weight_map", std::move(map)}});
}

std::unique_ptr<AtomicFile> write_shard(const fs::path& path, const Shard& shard) {
  SafetensorsWriter writer;
  for (const SavedTensor* tensor : shard) {
    writer.add(tensor->name, tensor->dtype, tensor->shape, tensor->producer);
  }
  auto file = std::make_unique<AtomicFile>(path);
  writer.write(*file);
  return file;
}

// "-00001-of-00002.safetensors"
bool is_shard_suffix(std::string_view text) {
  constexpr std::string_view kPattern = "-ddddd-of-ddddd.safetensors";
  if (text.size() != kPattern.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (i < 15 && kPattern[i] == 'd' ? !digit : text[i] != kPattern[i]) return false;
  }
  return true;
}

// Shards, a single file or an index of an earlier set: a reader could take them for the new one.
void remove_stale(const fs::path& directory, const std::set<std::string>& written,
                  const SaveWeightsOptions& options) {
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename().string();
    const bool shard = name.starts_with(stem(options)) &&
                       is_shard_suffix(std::string_view(name).substr(stem(options).size()));
    const bool whole = name == stem(options) + ".safetensors" || name == index_name(options);
    if ((shard || whole) && entry.is_regular_file() && !written.contains(name)) {
      stale.push_back(entry.path());
    }
  }
  for (const fs::path& path : stale) {
    std::error_code error;
    fs::remove(path, error);
    M2_REQUIRE(ErrorCode::kInvalidArgument, !error, path.string(),
               ": cannot remove: ", error.message());
  }
}

}  // namespace

void save_weights(const MiniMaxM2Config& config, const ModelWeights& weights,
                  const fs::path& directory, const SaveWeightsOptions& options) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, options.variant.find('/') == std::string::npos,
             "variant: \"", options.variant, "\" cannot be part of a file name");
  const std::vector<SavedTensor> tensors = saved_tensors(weights, options);
  const std::vector<Shard> shards = split(tensors, options.max_shard_bytes);
  std::vector<std::unique_ptr<AtomicFile>> files;
  std::set<std::string> written;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shard_name(options, i, shards.size());
    files.push_back(write_shard(directory / name, shards[i]));
    written.insert(name);
  }
  if (shards.size() > 1) {
    const std::string text = index_text(config, shards, options);
    files.push_back(std::make_unique<AtomicFile>(directory / index_name(options)));
    files.back()->write(std::as_bytes(std::span(text)));
    files.back()->finish();
    written.insert(index_name(options));
  }
  for (auto& file : files) file->commit();
  remove_stale(directory, written, options);
}

}  // namespace m2
