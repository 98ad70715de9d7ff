// The directory that a model's name means.
#pragma once

#include <filesystem>
#include <string>

#include "m2/hub.h"

namespace m2::hub {

/// `name` itself when it is a directory, else the snapshot of the hub id, with `options` to say
/// which files. Throws kNotFound when it is neither, and what
/// snapshot_download throws; its message then says that there is no such directory.
[[nodiscard]] std::filesystem::path model_directory(const std::string& name,
                                                    const HubOptions& options);

}  // namespace m2::hub
