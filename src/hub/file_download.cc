#include "hub/file_download.h"

#include "base/error.h"
#include "hub/blob_download.h"
#include "hub/file_lock.h"
#include "hub/files.h"

namespace m2::hub {
namespace {

namespace fs = std::filesystem;

std::int64_t size_on_disk(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  return error ? 0 : static_cast<std::int64_t>(size);
}

}  // namespace

void download_known_file(const DownloadJob& job, Client& client, const std::stop_token& stop,
                         const FileAddress& address, const FileMetadata& metadata) {
  const fs::path blob = job.cache.blob(metadata.etag);
  const FileLock lock(job.cache.lock(metadata.etag), stop);
  std::error_code error;
  const bool is_new = job.options.force_download || !fs::exists(blob, error);
  const auto on_bytes = [&](std::int64_t more) { job.progress.add_bytes(address.file, more); };
  if (is_new) {
    download_blob(client,
                  {.address = address, .metadata = metadata, .path = blob, .on_bytes = on_bytes},
                  job.limits, stop);
  } else {
    on_bytes(size_on_disk(blob));
  }
  job.cache.add_to_snapshot(metadata.etag, address.revision, address.file, job.settings.symlinks,
                            is_new);
}

void download_file(const DownloadJob& job, Client& client, const std::stop_token& stop,
                   const FileAddress& address, std::optional<std::int64_t> listed_size) {
  if (!job.options.force_download && job.cache.has_snapshot_file(address.revision, address.file)) {
    const std::int64_t size = size_on_disk(job.cache.snapshot_file(address.revision, address.file));
    job.progress.correct(size - listed_size.value_or(0));
    job.progress.add_bytes(address.file, size);
    job.progress.file_done(address.file);
    return;
  }
  const FileMetadata metadata =
      with_retries(job.limits, stop, [&] { return client.metadata(address); });
  M2_REQUIRE(ErrorCode::kNotFound, metadata.exists, "hub: ", address.text(),
             ": the file does not exist");
  M2_REQUIRE(ErrorCode::kCorruptFile, metadata.commit == address.revision, "hub: ", address.text(),
             ": the server answers for commit ", metadata.commit);
  job.progress.correct(metadata.size.value_or(0) - listed_size.value_or(0));
  download_known_file(job, client, stop, address, metadata);
  job.progress.file_done(address.file);
}

}  // namespace m2::hub
