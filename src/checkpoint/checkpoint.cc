#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/mapped_file.h"
#include "checkpoint/gguf_tensor.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

bool is_number(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Numbers of any length: leading zeros away, then by length, then by digits.
int compare_numbers(std::string_view a, std::string_view b) {
  a.remove_prefix(std::min(a.find_first_not_of('0'), a.size() - 1));
  b.remove_prefix(std::min(b.find_first_not_of('0'), b.size() - 1));
  if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  return a.compare(b);
}

// From the start of the component that holds position `at`, which both names have in common.
std::size_t component_start(std::string_view name, std::size_t at) {
  const auto dot = at == 0 ? std::string_view::npos : name.rfind('.', at - 1);
  return dot == std::string_view::npos ? 0 : dot + 1;
}

int compare_components(std::string_view a, std::string_view b) {
  const bool number_a = is_number(a);
  const bool number_b = is_number(b);
  if (number_a && number_b) return compare_numbers(a, b);
  if (number_a != number_b) return number_a ? -1 : 1;
  return a.compare(b);
}

// "model" + ".fp16" + ".safetensors"; the index has the variant after "index".
std::string with_variant(std::string_view stem, const std::string& variant,
                         std::string_view extension) {
  std::string name(stem);
  if (!variant.empty()) name += "." + variant;
  return name.append(extension);
}

// A shard lives beside its index or below it.
void check_shard_name(const std::string& name, const std::string& file) {
  const fs::path path(name);
  bool plain = !name.empty() && path.is_relative() && name.find('\0') == std::string::npos;
  for (const auto& part : path) plain = plain && part != "..";
  M2_REQUIRE(ErrorCode::kCorruptFile, plain, file, ": weight_map names the file ",
             nlohmann::json(name).dump(), ", which is not a path inside the model directory");
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// What of the pickled names lies in the directory; empty when none does.
std::string pickled_file(const fs::path& directory, const std::string& variant) {
  for (const auto& name : {with_variant("pytorch_model", variant, ".bin"),
                           with_variant("pytorch_model.bin.index", variant, ".json")}) {
    if (fs::exists(directory / name)) return name;
  }
  return {};
}

}  // namespace

bool natural_less(std::string_view a, std::string_view b) {
  // Names of a checkpoint share long beginnings: only the first component that differs counts.
  const auto differ = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  const auto at = static_cast<std::size_t>(differ.first - a.begin());
  const std::size_t start = component_start(a, at);
  const auto component = [start](std::string_view name) {
    return name.substr(start, name.find('.', start) - start);
  };
  const int order = compare_components(component(a), component(b));
  // Equal numbers that are written differently, or one name is the beginning of the other.
  return order != 0 ? order < 0 : a < b;
}

SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& file) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  M2_REQUIRE(ErrorCode::kCorruptFile, json.is_object(), file, ": expected a JSON object");
  const auto metadata = json.find("metadata");
  M2_REQUIRE(ErrorCode::kCorruptFile, metadata != json.end() && metadata->is_object(), file,
             ": expected an object \"metadata\"");
  const auto weight_map = json.find("weight_map");
  M2_REQUIRE(ErrorCode::kCorruptFile, weight_map != json.end() && weight_map->is_object(), file,
             ": expected an object \"weight_map\"");
  SafetensorsIndex index;
  std::set<std::string> names;
  for (const auto& [tensor, shard] : weight_map->items()) {
    M2_REQUIRE(ErrorCode::kCorruptFile, shard.is_string(), file, ": weight_map entry ", tensor,
               ": expected a file name");
    names.insert(shard.get<std::string>());
  }
  M2_REQUIRE(ErrorCode::kCorruptFile, !names.empty(), file, ": weight_map names no file");
  for (const auto& name : names) check_shard_name(name, file);
  index.files.assign(names.begin(), names.end());
  index.num_tensors = weight_map->size();
  const auto dtype = metadata->find("dtype");
  if (dtype != metadata->end() && dtype->is_string()) index.dtype = dtype->get<std::string>();
  return index;
}

std::shared_ptr<const Checkpoint> Checkpoint::open(const fs::path& path,
                                                   const CheckpointOptions& options) {
  M2_REQUIRE(ErrorCode::kNotFound, fs::exists(path), path.string(), ": no such file or directory");
  std::shared_ptr<Checkpoint> checkpoint(new Checkpoint);
  if (fs::is_directory(path)) {
    checkpoint->add_directory(path, options);
  } else if (find_gguf(path).has_value()) {
    checkpoint->add_gguf(path);
  } else {
    checkpoint->add_file(path);
  }
  checkpoint->finish();
  return checkpoint;
}

void Checkpoint::add_directory(const fs::path& path, const CheckpointOptions& options) {
  const auto single = with_variant("model", options.variant, ".safetensors");
  const auto index = with_variant("model.safetensors.index", options.variant, ".json");
  if (fs::exists(path / single)) {
    add_file(path / single);
  } else if (fs::exists(path / index)) {
    add_index(path / index);
  } else if (const auto gguf = find_gguf(path)) {
    add_gguf(*gguf);
  } else {
    const auto pickled = pickled_file(path, options.variant);
    M2_REQUIRE(ErrorCode::kUnsupported, pickled.empty(), path.string(), ": ", pickled,
               " holds pickled weights, which are not read; convert them to safetensors");
    fail(ErrorCode::kNotFound, path.string(), ": no file named ", single, " or ", index,
         ", and no GGUF file");
  }
}

std::shared_ptr<const Checkpoint> Checkpoint::empty() {
  return std::shared_ptr<const Checkpoint>(new Checkpoint);
}

void Checkpoint::add_index(const fs::path& path) {
  const MappedFile file(path);
  const auto index = parse_safetensors_index(as_text(file.bytes()), path.string());
  index_dtype_ = index.dtype;
  // Sorted, so that the later one of two files with the same tensor wins as in the reference.
  for (const auto& name : index.files) {
    M2_REQUIRE(ErrorCode::kNotFound, fs::exists(path.parent_path() / name), path.string(),
               ": names the file ", name, ", which is absent");
  }
  for (const auto& name : index.files) add_file(path.parent_path() / name);
}

void Checkpoint::add_file(const fs::path& path) {
  files_.push_back(std::make_unique<SafetensorsFile>(path));
  mapped_.push_back({path, files_.back()->bytes()});
  const auto& metadata = files_.back()->metadata();
  for (const auto& entry : files_.back()->entries()) {
    CheckpointTensor tensor = {entry.name, entry.view, mapped_.size() - 1, entry.view.shape};
    const auto format = metadata.find(entry.name);
    if (format != metadata.end()) {
      read_block_format(format->second, path.string() + ": " + entry.name, tensor);
    }
    tensors_.push_back(tensor);
  }
}

void Checkpoint::add_gguf(const fs::path& path) {
  gguf_ = std::make_unique<GgufModel>(path);
  for (const auto& file : gguf_->files()) {
    mapped_.push_back({file->path(), file->bytes()});
    for (const GgufTensor& tensor : file->tensors()) {
      tensors_.push_back(checkpoint_tensor(tensor, mapped_.size() - 1, file->path().string()));
    }
  }
}

void Checkpoint::finish() {
  std::sort(tensors_.begin(), tensors_.end(),
            [](const CheckpointTensor& a, const CheckpointTensor& b) {
              return a.name != b.name ? natural_less(a.name, b.name) : a.file > b.file;
            });
  const auto same_name = [this](const CheckpointTensor& first, const CheckpointTensor& other) {
    if (first.name != other.name) return false;
    repeated_.emplace_back(other.name);
    return true;
  };
  tensors_.erase(std::unique(tensors_.begin(), tensors_.end(), same_name), tensors_.end());
  for (auto& tensor : tensors_) align(tensor);
}

void Checkpoint::align(CheckpointTensor& tensor) {
  const auto address = reinterpret_cast<std::uintptr_t>(tensor.view.data);
  if (address % dtype_size(tensor.view.dtype) == 0) return;
  Tensor copy(tensor.view.dtype, tensor.view.shape);
  std::memcpy(copy.view().data, tensor.view.data, tensor.view.num_bytes());
  copied_bytes_ += static_cast<std::int64_t>(tensor.view.num_bytes());
  tensor.view = copy.view();
  copies_.push_back(std::move(copy));
}

const CheckpointTensor* Checkpoint::find(std::string_view name) const {
  const auto position = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                         [](const CheckpointTensor& tensor, std::string_view key) {
                                           return natural_less(tensor.name, key);
                                         });
  return position == tensors_.end() || position->name != name ? nullptr : &*position;
}

std::optional<FileRange> Checkpoint::locate(const void* data, std::size_t bytes) const {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  for (std::size_t i = 0; i < mapped_.size(); ++i) {
    const std::span<const std::byte> mapped = mapped_[i].bytes;
    const auto begin = reinterpret_cast<std::uintptr_t>(mapped.data());
    if (address < begin || address - begin > mapped.size()) continue;
    const std::size_t offset = address - begin;
    if (bytes <= mapped.size() - offset) return FileRange{i, offset};
  }
  return std::nullopt;
}

const fs::path& Checkpoint::file_path(std::size_t file) const {
  M2_CHECK(file < mapped_.size(), "file ", file, " of ", mapped_.size());
  return mapped_[file].path;
}

}  // namespace m2
