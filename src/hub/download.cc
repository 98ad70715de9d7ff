#include "hub/download.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "hub/file_download.h"
#include "hub/names.h"

namespace m2::hub {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxWorkers = 64;

// Ends all workers when the caller or one of them asks for it.
class StopGroup {
 public:
  explicit StopGroup(const std::stop_token& caller)
      : forward_(caller, [this] { source_.request_stop(); }) {}

  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }

  /// The first failure is the one that counts: the others are its consequences.
  void fail_with(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(failure);
    source_.request_stop();
  }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::stop_source source_;
  std::stop_callback<std::function<void()>> forward_;
  std::mutex mutex_;
  std::exception_ptr failure_;
};

void download_files(const DownloadJob& job, const std::string& commit,
                    const std::vector<RepoFile>& files) {
  StopGroup group(job.options.stop);
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    try {
      Client client(job.settings, job.limits, group.token());
      for (std::size_t i = next++; i < files.size(); i = next++) {
        download_file(job, client, group.token(), {job.repo_id, commit, files[i].name},
                      files[i].size);
      }
    } catch (...) {
      group.fail_with(std::current_exception());
    }
  };
  {
    std::vector<std::jthread> workers;
    const int wanted = std::clamp(job.options.max_workers, 1, kMaxWorkers);
    const std::size_t count = std::min<std::size_t>(static_cast<std::size_t>(wanted), files.size());
    for (std::size_t i = 0; i < count; ++i) workers.emplace_back(work);
  }
  group.rethrow();
}

// For the first question of a download. A hub that does not answer is no obstacle to what is here
// already: one attempt, then the cache. Whoever has no network, or mistyped a folder's name, should
// not wait for it long either.
TransferLimits first_limits(TransferLimits limits, bool is_cached) {
  if (is_cached) limits.max_attempts = 1;
  limits.max_unreachable_attempts = 2;
  return limits;
}

bool is_unavailable(const Error& error) { return error.code() == ErrorCode::kResourceExhausted; }

std::optional<fs::path> find_snapshot(const RepoCache& cache, const std::string& revision) {
  const auto commit = cache.find_commit(revision);
  std::error_code error;
  if (!commit || !fs::is_directory(cache.snapshot(*commit), error)) return std::nullopt;
  return cache.snapshot(*commit);
}

std::optional<fs::path> find_file(const RepoCache& cache, const FileAddress& address) {
  const auto commit = cache.find_commit(address.revision);
  if (!commit || !cache.has_snapshot_file(*commit, address.file)) return std::nullopt;
  return cache.snapshot_file(*commit, address.file);
}

fs::path require_snapshot(const RepoCache& cache, const std::string& repo_id,
                          const std::string& revision) {
  auto path = find_snapshot(cache, revision);
  M2_REQUIRE(ErrorCode::kNotFound, path.has_value(), "hub: ", repo_id, "@", revision,
             " is not in the cache, and the hub may not be asked");
  return *std::move(path);
}

fs::path require_file(const RepoCache& cache, const FileAddress& address) {
  auto path = find_file(cache, address);
  if (path) return *std::move(path);
  const auto commit = cache.find_commit(address.revision);
  fail(ErrorCode::kNotFound, "hub: ", address.text(),
       commit && cache.is_known_missing(*commit, address.file)
           ? ": the file does not exist"
           : ": not in the cache, and the hub may not be asked");
}

void check_options(const std::string& repo_id, const HubOptions& options,
                   const Settings& settings) {
  check_repo_id(repo_id);
  check_revision(options.revision);
  M2_REQUIRE(ErrorCode::kInvalidArgument, options.max_workers >= 1,
             "hub: max_workers: expected at least 1, got ", options.max_workers);
  M2_REQUIRE(ErrorCode::kInvalidArgument, !(settings.offline && options.force_download),
             "hub: force_download needs the hub, which may not be asked");
}

fs::path download_snapshot(const DownloadJob& job, RepoInfo info) {
  std::erase_if(info.files, [&](const RepoFile& file) {
    return !is_wanted(file.name, job.options.allow_patterns, job.options.ignore_patterns);
  });
  M2_REQUIRE(ErrorCode::kNotFound, !info.files.empty(), "hub: ", job.repo_id, "@",
             job.options.revision, " has none of the files that are wanted");
  job.cache.save_commit(job.options.revision, info.commit);
  for (const RepoFile& file : info.files) job.progress.expect(file.size.value_or(0));
  download_files(job, info.commit, info.files);
  return job.cache.snapshot(info.commit);
}

fs::path download_one(const DownloadJob& job, Client& client, const std::string& file,
                      const FileMetadata& metadata) {
  const FileAddress asked{job.repo_id, job.options.revision, file};
  if (!metadata.commit.empty()) job.cache.save_commit(asked.revision, metadata.commit);
  if (!metadata.exists && !metadata.commit.empty()) job.cache.save_missing(metadata.commit, file);
  M2_REQUIRE(ErrorCode::kNotFound, metadata.exists, "hub: ", asked.text(),
             ": the file does not exist");
  if (job.options.force_download || !job.cache.has_snapshot_file(metadata.commit, file)) {
    job.progress.expect(metadata.size.value_or(0));
    download_known_file(job, client, job.options.stop, {job.repo_id, metadata.commit, file},
                        metadata);
    job.progress.file_done(file);
  }
  return job.cache.snapshot_file(metadata.commit, file);
}

}  // namespace

fs::path snapshot_download(const std::string& repo_id, const HubOptions& options,
                           const TransferLimits& limits) {
  const Settings settings = resolve_settings(options);
  check_options(repo_id, options, settings);
  const RepoCache cache(settings.cache_dir, repo_id);
  if (settings.offline) return require_snapshot(cache, repo_id, options.revision);
  const auto cached =
      options.force_download ? std::nullopt : find_snapshot(cache, options.revision);

  Client client(settings, limits, options.stop);
  RepoInfo info;
  try {
    info = with_retries(first_limits(limits, cached.has_value()), options.stop,
                        [&] { return client.repo_info(repo_id, options.revision); });
  } catch (const Error& error) {
    if (cached && is_unavailable(error)) return *cached;
    throw;
  }
  Progress progress(options.progress);
  return download_snapshot({repo_id, options, settings, limits, cache, progress}, std::move(info));
}

fs::path hub_download(const std::string& repo_id, const std::string& file,
                      const HubOptions& options, const TransferLimits& limits) {
  const Settings settings = resolve_settings(options);
  check_options(repo_id, options, settings);
  const char* fault = file_name_fault(file);
  M2_REQUIRE(ErrorCode::kInvalidArgument, fault == nullptr, "hub: \"", file,
             "\" is no file name: ", fault);
  const RepoCache cache(settings.cache_dir, repo_id);
  const FileAddress asked{repo_id, options.revision, file};
  if (settings.offline) return require_file(cache, asked);
  const auto cached = options.force_download ? std::nullopt : find_file(cache, asked);
  if (cached && is_commit_hash(options.revision)) return *cached;  // a commit never changes

  Client client(settings, limits, options.stop);
  FileMetadata metadata;
  try {
    metadata = with_retries(first_limits(limits, cached.has_value()), options.stop,
                            [&] { return client.metadata(asked); });
  } catch (const Error& error) {
    if (cached && is_unavailable(error)) return *cached;
    throw;
  }
  Progress progress(options.progress);
  return download_one({repo_id, options, settings, limits, cache, progress}, client, file,
                      metadata);
}

}  // namespace m2::hub

namespace m2 {

std::filesystem::path snapshot_download(const std::string& repo_id, const HubOptions& options) {
  return hub::snapshot_download(repo_id, options, {});
}

std::filesystem::path hub_download(const std::string& repo_id, const std::string& file,
                                   const HubOptions& options) {
  return hub::hub_download(repo_id, file, options, {});
}

}  // namespace m2
