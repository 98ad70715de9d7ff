// The hub's protocol: what a repository has, a file's metadata, a file's bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "hub/api_answer.h"
#include "hub/http.h"
#include "hub/settings.h"

namespace m2::hub {

/// A file of a repository at a revision.
struct FileAddress {
  std::string repo_id;
  std::string revision;
  std::string file;

  [[nodiscard]] std::string text() const { return repo_id + "@" + revision + ": " + file; }
};

struct FileMetadata {
  bool exists = true;
  std::string commit;                ///< empty when the server does not say, for missing files only
  std::string etag;                  ///< fit to be a file name
  std::optional<std::int64_t> size;  ///< bytes
};

/// How the body that comes relates to the bytes that were asked for.
struct BodyStart {
  bool from_begin = false;           ///< the server sends the whole file, whatever was asked
  std::optional<std::int64_t> size;  ///< of the whole file
};

struct FileSink {
  std::function<void(const BodyStart&)> begin;  ///< once, before any data
  std::function<void(std::string_view)> data;
};

/// Makes one attempt for each call. Every function throws TransientError for what may pass, and
/// for the rest kNotFound, kUnsupported (gated, disabled, odd answers), kInvalidArgument (token
/// refused), kCorruptFile (answers that contradict themselves), kCancelled. One thread at a time.
class Client {
 public:
  Client(const Settings& settings, const TransferLimits& limits, std::stop_token stop);

  [[nodiscard]] RepoInfo repo_info(const std::string& repo_id, const std::string& revision);
  [[nodiscard]] FileMetadata metadata(const FileAddress& address);
  /// Gets the file's bytes from `offset` on.
  void fetch(const FileAddress& address, std::int64_t offset, const FileSink& sink);

 private:
  HttpResponse follow(HttpRequest request, const BodySink& sink);
  [[nodiscard]] std::string file_url(const FileAddress& address) const;

  const Settings& settings_;
  const TransferLimits& limits_;
  std::string origin_;  // of the endpoint
  HttpConnection connection_;
};

}  // namespace m2::hub
