// Where a download comes from and goes to: the options, filled up from the environment.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "m2/hub.h"

namespace m2::hub {

struct Settings {
  std::filesystem::path cache_dir;
  std::string endpoint;              ///< without a slash at the end
  std::optional<std::string> token;  ///< goes to the endpoint's origin only
  bool offline = false;
  bool symlinks = true;
};

/// Throws kInvalidArgument for an endpoint that is no http(s) address and for a token that cannot
/// stand in a header.
[[nodiscard]] Settings resolve_settings(const HubOptions& options);

}  // namespace m2::hub
