#include "hub/model_directory.h"

#include "base/error.h"

namespace m2::hub {

namespace {

std::filesystem::path named_path(const std::string& name, const HubOptions& options) {
  std::error_code error;
  const std::filesystem::path path(name);
  if (std::filesystem::is_directory(path, error)) return path;
  if (path.extension() == ".gguf" && std::filesystem::exists(path, error)) return path;
  M2_REQUIRE(ErrorCode::kNotFound, is_hub_id(name), "\"", name,
             "\" is no directory and no model id of the form \"owner/name\"");
  try {
    return m2::snapshot_download(name, options);
  } catch (const Error& failure) {
    if (failure.code() == ErrorCode::kCancelled) throw;
    fail(failure.code(), failure.what(), "; there is no directory \"", name, "\" either");
  }
}

}  // namespace

std::filesystem::path model_directory(const std::string& name, const HubOptions& options,
                                      const std::string& subfolder) {
  const std::filesystem::path path = named_path(name, options);
  return subfolder.empty() ? path : path / subfolder;
}

}  // namespace m2::hub
