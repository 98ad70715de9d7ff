// The directory or GGUF file that a model's name means.
#pragma once

#include <filesystem>
#include <string>

#include "m2/hub.h"

namespace m2::hub {

/// `name` itself when it is a directory or a file whose name ends in ".gguf", else the snapshot of
/// the hub id, with `options` to say which files; then `subfolder` of it, if that is not empty.
/// Throws kNotFound when it is neither, and what snapshot_download throws; its message then says
/// that there is no such directory.
[[nodiscard]] std::filesystem::path model_directory(const std::string& name,
                                                    const HubOptions& options,
                                                    const std::string& subfolder = {});

}  // namespace m2::hub
