#include "quantizer/journal.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <span>

#include "base/atomic_file.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/mapped_file.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFileName = "m2-quantize.json";

// In pieces, so that a shard of any size takes no more of the process's memory than one of them.
std::string checksum_text(const fs::path& path) {
  constexpr std::size_t kPiece = std::size_t{1} << 26U;
  const MappedFile file(path);
  std::vector<std::uint64_t> sums;
  for (std::size_t begin = 0; begin < file.bytes().size(); begin += kPiece) {
    const auto piece = file.bytes().subspan(begin, std::min(kPiece, file.bytes().size() - begin));
    sums.push_back(checksum(piece));
    release_mapping(piece.data(), piece.size());
  }
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016" PRIx64, checksum(std::as_bytes(std::span(sums))));
  return text.data();
}

Json read_json(const fs::path& path) {
  const MappedFile file(path);
  const auto* text = reinterpret_cast<const char*>(file.bytes().data());
  Json json = Json::parse(text, text + file.bytes().size(), nullptr, /*allow_exceptions=*/false);
  const bool valid = json.is_object() && json.contains("plan") && json.contains("shards") &&
                     json["plan"].is_object() && json["shards"].is_object();
  M2_REQUIRE(ErrorCode::kCorruptFile, valid, path.string(), ": is no journal of a conversion");
  return json;
}

bool is_temporary(const std::string& name) {
  const std::size_t mark = name.rfind(".tmp");
  return mark != std::string::npos && name.size() > mark + 4 &&
         name.find_first_not_of("0123456789", mark + 4) == std::string::npos &&
         (name.starts_with(kFileName) || name.starts_with("model"));
}

// What a run that was killed was writing.
void remove_temporaries(const fs::path& directory) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (is_temporary(entry.path().filename().string())) found.push_back(entry.path());
  }
  for (const fs::path& path : found) fs::remove(path);
}

// The first entry that differs, for the message.
std::string difference(const Json& old_plan, const Json& new_plan) {
  for (const auto& [key, value] : new_plan.items()) {
    const Json old_value = old_plan.value(key, Json());
    if (old_value == value) continue;
    if (value.is_primitive()) return key + " was " + old_value.dump() + " and is " + value.dump();
    return "the " + key + " differ";
  }
  return "its entries differ";
}

}  // namespace

QuantizeJournal::QuantizeJournal(const fs::path& directory, Json plan)
    : directory_(directory), path_(directory / kFileName) {
  make_directory(directory);
  remove_temporaries(directory);
  if (!fs::exists(path_)) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, fs::is_empty(directory), directory.string(),
               ": is not empty and holds no unfinished conversion");
    content_ = {{"plan", std::move(plan)}, {"shards", Json::object()}};
    write();
    return;
  }
  content_ = read_json(path_);
  M2_REQUIRE(ErrorCode::kInvalidArgument, content_["plan"] == plan, directory.string(),
             ": holds an unfinished conversion of another kind: ",
             difference(content_["plan"], plan), "; remove it or give another directory");
}

std::optional<std::vector<TensorResult>> QuantizeJournal::finished(const std::string& shard) const {
  const auto entry = content_["shards"].find(shard);
  const fs::path file = directory_ / shard;
  if (entry == content_["shards"].end() || !fs::is_regular_file(file)) return std::nullopt;
  M2_REQUIRE(ErrorCode::kCorruptFile,
             entry->is_object() && entry->contains("tensors") && (*entry)["tensors"].is_array(),
             where(), ": ", shard, ": cannot be read");
  if (entry->value("bytes", Json()) != fs::file_size(file)) return std::nullopt;
  if (entry->value("checksum", Json()) != checksum_text(file)) return std::nullopt;
  std::vector<TensorResult> results;
  for (const Json& tensor : (*entry)["tensors"]) results.push_back(read_result(tensor, where()));
  return results;
}

void QuantizeJournal::add(const std::string& shard, const std::vector<TensorResult>& results) {
  Json tensors = Json::array();
  for (const TensorResult& result : results) tensors.push_back(to_json(result));
  content_["shards"][shard] = {{"bytes", fs::file_size(directory_ / shard)},
                               {"checksum", checksum_text(directory_ / shard)},
                               {"tensors", std::move(tensors)}};
  write();
}

void QuantizeJournal::remove() const {
  std::error_code error;
  fs::remove(path_, error);
  M2_REQUIRE(ErrorCode::kInvalidArgument, !error, where(), ": cannot remove: ", error.message());
}

void QuantizeJournal::write() const {
  const std::string text = content_.dump() + "\n";
  AtomicFile file(path_);
  file.write(std::as_bytes(std::span(text)));
  file.commit();
}

}  // namespace m2
