#include "gguf/gguf.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kArchitecture = "minimax-m2";
constexpr std::string_view kExtension = ".gguf";
constexpr std::int64_t kMaxParts = 9999;

struct PartName {
  std::string prefix;
  std::int64_t number = 0;  // from 1
  std::int64_t count = 0;
};

// Five digits.
std::optional<std::int64_t> part_number(std::string_view digits) {
  std::int64_t number = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, number);
  if (digits.size() != 5 || error != std::errc() || stop != end) return std::nullopt;
  return number;
}

// PREFIX-00002-of-00005.gguf.
std::optional<PartName> parse_part_name(const std::string& file) {
  constexpr std::string_view kPattern = "-00000-of-00000.gguf";
  if (file.size() < kPattern.size()) return std::nullopt;
  const std::string_view tail = std::string_view(file).substr(file.size() - kPattern.size());
  const auto number = part_number(tail.substr(1, 5));
  const auto count = part_number(tail.substr(10, 5));
  const bool separators =
      tail[0] == '-' && tail.substr(6, 4) == "-of-" && tail.ends_with(kExtension);
  if (!separators || !number.has_value() || !count.has_value()) return std::nullopt;
  return PartName{file.substr(0, file.size() - kPattern.size()), *number, *count};
}

std::string part_file(const std::string& prefix, std::int64_t number, std::int64_t count) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "-%05d-of-%05d.gguf", static_cast<int>(number),
                static_cast<int>(count));
  return prefix + text.data();
}

std::int64_t split_count(const GgufMetadata& metadata) {
  const auto count = metadata.integer("split.count").value_or(1);
  M2_REQUIRE(ErrorCode::kCorruptFile, count >= 0 && count <= kMaxParts, metadata.file(),
             ": split.count: expected 0 to ", kMaxParts, ", got ", count);
  return std::max<std::int64_t>(count, 1);
}

void check_architecture(const GgufMetadata& metadata) {
  const auto architecture = metadata.text("general.architecture");
  M2_REQUIRE(ErrorCode::kUnsupported, architecture == kArchitecture, metadata.file(),
             ": general.architecture: expected ", kArchitecture, ", got ",
             architecture.value_or("nothing"));
}

}  // namespace

GgufFile::GgufFile(const fs::path& path)
    : file_(path), content_(parse_gguf(file_.bytes(), path.string())) {}

GgufModel::GgufModel(const fs::path& path) {
  auto file = std::make_unique<GgufFile>(path);
  const std::int64_t count = split_count(file->metadata());
  if (count == 1) {
    files_.push_back(std::move(file));
  } else {
    add_parts(path, count);
  }
  check_architecture(metadata());
}

void GgufModel::add_parts(const fs::path& path, std::int64_t count) {
  const auto name = parse_part_name(path.filename().string());
  M2_REQUIRE(ErrorCode::kInvalidArgument, name.has_value() && name->count == count, path.string(),
             ": this is one of ", count, " parts, whose names must end in ",
             part_file("", 1, count));
  std::size_t num_tensors = 0;
  for (std::int64_t number = 1; number <= count; ++number) {
    const fs::path part = path.parent_path() / part_file(name->prefix, number, count);
    M2_REQUIRE(ErrorCode::kNotFound, fs::exists(part), part.string(), ": part ", number, " of ",
               count, " is absent");
    files_.push_back(std::make_unique<GgufFile>(part));
    const GgufMetadata& metadata = files_.back()->metadata();
    M2_REQUIRE(ErrorCode::kCorruptFile,
               metadata.integer("split.no") == number - 1 && split_count(metadata) == count,
               part.string(), ": expected part ", number, " of ", count, ", got split.no ",
               metadata.integer("split.no").value_or(-1), " of ", split_count(metadata));
    num_tensors += files_.back()->tensors().size();
  }
  const auto expected = metadata().integer("split.tensors.count");
  M2_REQUIRE(ErrorCode::kCorruptFile,
             !expected.has_value() || std::cmp_equal(*expected, num_tensors), path.string(),
             ": split.tensors.count is ", expected.value_or(0), ", but the parts have ",
             num_tensors, " tensors");
}

const GgufTensor* GgufModel::find_tensor(std::string_view name) const {
  for (const auto& file : files_) {
    const auto found = std::ranges::find(file->tensors(), name, &GgufTensor::name);
    if (found != file->tensors().end()) return &*found;
  }
  return nullptr;
}

std::optional<fs::path> find_gguf(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return path.extension() == kExtension ? std::optional(path) : std::nullopt;
  }
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(path, error)) {
    if (entry.path().extension() != kExtension) continue;
    const auto part = parse_part_name(entry.path().filename().string());
    if (!part.has_value() || part->number == 1) found.push_back(entry.path());
  }
  if (found.empty()) return std::nullopt;
  std::ranges::sort(found);
  M2_REQUIRE(ErrorCode::kInvalidArgument, found.size() == 1, path.string(), ": there are ",
             found.size(), " models in GGUF files, among them ", found[0].filename().string(),
             " and ", found[1].filename().string(), "; name one of them");
  return found.front();
}

}  // namespace m2
