#include "quantizer/model_files.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

bool is_weight_file(const std::string& name) {
  constexpr std::array<std::string_view, 6> kEndings = {".safetensors", ".bin",  ".pt",
                                                        ".pth",         ".gguf", ".index.json"};
  return name == "config.json" || std::ranges::any_of(kEndings, [&](std::string_view ending) {
           return name.ends_with(ending);
         });
}

}  // namespace

Json source_identity(const fs::path& source) {
  std::vector<fs::path> files;
  // The parts of a split GGUF file lie beside each other.
  const fs::path directory = fs::is_directory(source) ? source : source.parent_path();
  for (const auto& entry : fs::directory_iterator(directory.empty() ? "." : directory)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && is_weight_file(name)) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  Json identity = Json::array();
  for (const fs::path& file : files) {
    const auto changed = fs::last_write_time(file).time_since_epoch();
    identity.push_back(
        {{"name", file.filename().string()},
         {"bytes", fs::file_size(file)},
         {"changed_ns", std::chrono::duration_cast<std::chrono::nanoseconds>(changed).count()}});
  }
  return identity;
}

void copy_other_files(const fs::path& source, const fs::path& destination) {
  if (!fs::is_directory(source)) return;
  for (const auto& entry : fs::directory_iterator(source)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') || is_weight_file(name)) continue;
    std::error_code error;
    fs::copy(entry.path(), destination / name,
             fs::copy_options::recursive | fs::copy_options::overwrite_existing, error);
    M2_REQUIRE(ErrorCode::kInvalidArgument, !error, (destination / name).string(),
               ": cannot copy: ", error.message());
  }
}

}  // namespace m2
