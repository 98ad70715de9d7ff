// Model ids and revisions to local files, in the cache that huggingface_hub uses too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

namespace m2 {

struct HubProgress {
  std::string file;  ///< that grew or was completed
  std::int64_t files_done = 0;
  std::int64_t files_total = 0;
  std::int64_t bytes_done = 0;   ///< of all files, what was there before included
  std::int64_t bytes_total = 0;  ///< of all files
};

struct HubOptions {
  std::string revision = "main";         ///< branch, tag, commit hash or refs/pr/N
  std::optional<std::string> cache_dir;  ///< default: HF_HUB_CACHE, else HF_HOME/hub, else
                                         ///< ~/.cache/huggingface/hub
  std::optional<std::string> endpoint;   ///< default: HF_ENDPOINT, else the public hub
  std::optional<std::string> token;      ///< default: HF_TOKEN, else HF_HOME/token
  bool local_files_only = false;         ///< HF_HUB_OFFLINE=1 does the same
  bool force_download = false;
  /// Shell patterns ("*.safetensors") of the files wanted; empty: all.
  std::vector<std::string> allow_patterns;
  std::vector<std::string> ignore_patterns;
  int max_workers = 8;                               ///< files at the same time
  std::function<void(const HubProgress&)> progress;  ///< called from one thread at a time
  std::stop_token stop;  ///< ends with kCancelled; what was fetched stays
};

/// True for "name" and "owner/name" as the hub allows them.
[[nodiscard]] bool is_hub_id(const std::string& name);

/// Downloads what is missing of a repository at a revision and returns the snapshot's directory.
/// Interrupted files are resumed, sizes and hashes checked, and a file appears only when it is
/// complete. Offline, and when the hub does not answer: what the cache has of the revision, which
/// may be less than all. Throws kNotFound (no such repository, revision or file, or not in the
/// cache), kInvalidArgument (id, token refused, cache not writable), kUnsupported (gated),
/// kCorruptFile (size or hash), kResourceExhausted (no space, server unavailable after retries),
/// kCancelled.
std::filesystem::path snapshot_download(const std::string& repo_id, const HubOptions& options = {});

/// The same for one file; returns its path in the snapshot.
std::filesystem::path hub_download(const std::string& repo_id, const std::string& file,
                                   const HubOptions& options = {});

}  // namespace m2
