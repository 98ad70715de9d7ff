#include "hub/blob_download.h"

#include <optional>
#include <string>

#include "base/error.h"
#include "hub/file_hash.h"
#include "hub/files.h"

namespace m2::hub {
namespace {

namespace fs = std::filesystem;

// The file while it grows.
class PartialBlob {
 public:
  PartialBlob(const BlobDownload& download, fs::path path)
      : download_(download), what_("hub: " + download.address.text()), file_(std::move(path)) {
    size_ = download.metadata.size;
    if (size_ && file_.size() > *size_) file_.clear();
    download_.on_bytes(file_.size());
  }

  [[nodiscard]] std::int64_t num_bytes() const { return file_.size(); }
  [[nodiscard]] bool is_complete() const { return size_ && file_.size() == *size_; }
  [[nodiscard]] const std::string& what() const { return what_; }

  void begin(const BodyStart& start) {
    if (start.from_begin) clear();
    if (!start.size) return;
    if (!size_) size_ = start.size;
    M2_REQUIRE(ErrorCode::kCorruptFile, *start.size == *size_, what_, ": expected ", *size_,
               " bytes, the server sends ", *start.size);
  }

  void append(std::string_view data) {
    const auto more = static_cast<std::int64_t>(data.size());
    M2_REQUIRE(ErrorCode::kCorruptFile, !size_ || file_.size() + more <= *size_, what_,
               ": expected ", size_.value_or(0), " bytes, the server sends more");
    file_.write(data);
    download_.on_bytes(more);
  }

  void clear() {
    download_.on_bytes(-file_.size());
    file_.clear();
  }

  // A body without a length ends when the server says so.
  void finish() {
    if (!size_) size_ = file_.size();
    if (!is_complete()) {
      throw TransientError(what_ + ": expected " + std::to_string(*size_) + " bytes, got " +
                           std::to_string(file_.size()));
    }
    file_.sync();
  }

  void require_space(const fs::path& directory) const {
    std::error_code error;
    const fs::space_info space = fs::space(directory, error);
    if (error || !size_) return;
    const auto needed = static_cast<std::uintmax_t>(*size_ - file_.size());
    M2_REQUIRE(ErrorCode::kResourceExhausted, needed <= space.available, what_, ": needs ", needed,
               " bytes, ", directory.string(), " has ", space.available, " left");
  }

 private:
  const BlobDownload& download_;
  std::string what_;
  OutputFile file_;
  std::optional<std::int64_t> size_;
};

void fetch_rest(Client& client, const BlobDownload& download, const TransferLimits& limits,
                const std::stop_token& stop, PartialBlob& blob) {
  Retries retries(limits, stop);
  while (!blob.is_complete()) {
    const std::int64_t before = blob.num_bytes();
    try {
      client.fetch(download.address, before,
                   {.begin = [&](const BodyStart& start) { blob.begin(start); },
                    .data = [&](std::string_view data) { blob.append(data); }});
      blob.finish();
    } catch (const TransientError& error) {
      if (blob.num_bytes() - before >= limits.progress_bytes) retries.progressed();
      retries.wait(error);
    }
  }
  blob.finish();
}

// Empty when the hash is right or the etag is none.
std::string hash_fault(const BlobDownload& download, const fs::path& path,
                       const std::stop_token& stop) {
  const std::string& expected = download.metadata.etag;
  const auto kind = hash_kind(expected);
  if (!kind) return {};
  const std::string got = hash_file(path, *kind, stop);
  if (got == expected) return {};
  const char* name = *kind == HashKind::kSha256 ? "sha256" : "git sha1";
  return std::string("expected ") + name + " " + expected + ", got " + got;
}

}  // namespace

void download_blob(Client& client, const BlobDownload& download, const TransferLimits& limits,
                   const std::stop_token& stop) {
  fs::path incomplete = download.path;
  incomplete += ".incomplete";
  make_directories(download.path.parent_path());
  PartialBlob blob(download, incomplete);
  blob.require_space(download.path.parent_path());
  bool resumed = blob.num_bytes() > 0;
  for (;;) {
    try {
      fetch_rest(client, download, limits, stop, blob);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCorruptFile) blob.clear();
      throw;
    }
    const std::string fault = hash_fault(download, incomplete, stop);
    if (fault.empty()) break;
    // What an earlier run left may be to blame: once more from the start.
    blob.clear();
    M2_REQUIRE(ErrorCode::kCorruptFile, resumed, blob.what(), ": ", fault);
    resumed = false;
  }
  rename_file(incomplete, download.path);
}

}  // namespace m2::hub
