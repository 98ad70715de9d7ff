#include "model/save_weights.h"

#include <charconv>
#include <cmath>
#include <memory>
#include <set>
#include <vector>

#include "base/atomic_file.h"
#include "base/error.h"
#include "model/saved_tensors.h"
#include "model/weight_shards.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

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
    const bool shard = name.starts_with(shard_stem(options)) &&
                       is_shard_suffix(std::string_view(name).substr(shard_stem(options).size()));
    const bool whole =
        name == shard_stem(options) + ".safetensors" || name == shard_index_name(options);
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
  const std::vector<WeightShard> shards = plan_shards(tensors, options);
  std::vector<std::unique_ptr<AtomicFile>> files;
  std::set<std::string> written;
  const auto begin = [&](const std::string& name) -> AtomicFile& {
    written.insert(name);
    return *files.emplace_back(std::make_unique<AtomicFile>(directory / name));
  };
  for (const WeightShard& shard : shards) write_shard(shard, begin(shard.file));
  if (shards.size() > 1) {
    const std::string text = shard_index_text(config, shards, options);
    AtomicFile& index = begin(shard_index_name(options));
    index.write(std::as_bytes(std::span(text)));
    index.finish();
  }
  for (auto& file : files) file->commit();
  remove_stale(directory, written, options);
}

}  // namespace m2
