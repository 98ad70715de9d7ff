// One file of a repository into the cache.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stop_token>
#include <string>

#include "hub/client.h"
#include "hub/progress.h"
#include "hub/repo_cache.h"

namespace m2::hub {

/// What the files of one download have in common.
struct DownloadJob {
  const std::string& repo_id;
  const HubOptions& options;
  const Settings& settings;
  const TransferLimits& limits;
  const RepoCache& cache;
  Progress& progress;
};

/// Makes snapshots/<commit>/<file> from what the server has at that commit. `listed_size` is what
/// `job.progress` expects of the file.
void download_file(const DownloadJob& job, Client& client, const std::stop_token& stop,
                   const FileAddress& address, std::optional<std::int64_t> listed_size);

/// The same when the file's metadata is known already.
void download_known_file(const DownloadJob& job, Client& client, const std::stop_token& stop,
                         const FileAddress& address, const FileMetadata& metadata);

}  // namespace m2::hub
