// Downloads of a snapshot or a file; what m2/hub.h offers, with limits to choose.
#pragma once

#include <filesystem>
#include <string>

#include "hub/retries.h"
#include "m2/hub.h"

namespace m2::hub {

std::filesystem::path snapshot_download(const std::string& repo_id, const HubOptions& options,
                                        const TransferLimits& limits);
std::filesystem::path hub_download(const std::string& repo_id, const std::string& file,
                                   const HubOptions& options, const TransferLimits& limits);

}  // namespace m2::hub
