#include "hub/model_directory.h"

#include "base/error.h"

namespace m2::hub {

std::filesystem::path model_directory(const std::string& name, const HubOptions& options) {
  std::error_code error;
  if (std::filesystem::is_directory(name, error)) return name;
  M2_REQUIRE(ErrorCode::kNotFound, is_hub_id(name), "\"", name,
             "\" is no directory and no model id of the form \"owner/name\"");
  try {
    return m2::snapshot_download(name, options);
  } catch (const Error& failure) {
    if (failure.code() == ErrorCode::kCancelled) throw;
    fail(failure.code(), failure.what(), "; there is no directory \"", name, "\" either");
  }
}

}  // namespace m2::hub
