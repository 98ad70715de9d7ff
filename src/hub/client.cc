#include "hub/client.h"

#include <utility>

#include "base/error.h"
#include "hub/answer_status.h"
#include "hub/names.h"

namespace m2::hub {
namespace {

// Servers that compress would make sizes and ranges mean something else.
constexpr const char* kNoCompression = "Accept-Encoding: identity";

bool is_metadata(const HttpResponse& response) {
  return response.header("x-repo-commit").has_value();
}

// A value of the answer itself, or the file's that it leads to.
std::optional<std::string> linked_or_own(const HttpResponse& response, const char* linked,
                                         const char* own) {
  if (auto value = response.header(linked)) return value;
  return response.header(own);
}

BodyStart body_start(const HttpResponse& response, std::int64_t offset, const std::string& what) {
  if (response.status == 206) {
    const ContentRange range =
        parse_content_range(response.header("content-range").value_or(""), what);
    M2_REQUIRE(ErrorCode::kCorruptFile, range.begin == offset, what, ": asked for bytes from ",
               offset, " on, got them from ", range.begin, " on");
    return {.from_begin = false, .size = range.size};
  }
  BodyStart start{.from_begin = true, .size = {}};
  if (const auto length = response.header("content-length")) {
    start.size = parse_size(*length, what);
  }
  return start;
}

}  // namespace

Client::Client(const Settings& settings, const TransferLimits& limits, std::stop_token stop)
    : settings_(settings),
      limits_(limits),
      origin_(url_origin(settings.endpoint)),
      connection_(limits, std::move(stop)) {}

// The token goes to the hub alone: a redirect may lead to any storage host. A redirect away that
// carries a file's metadata is itself the answer to HEAD.
HttpResponse Client::follow(HttpRequest request, const BodySink& sink) {
  const std::vector<std::string> plain_headers = request.headers;
  for (int i = 0; i <= limits_.max_redirects; ++i) {
    const bool at_hub = url_origin(request.url) == origin_;
    request.headers = plain_headers;
    if (at_hub && settings_.token) {
      request.headers.push_back("Authorization: Bearer " + *settings_.token);
    }
    HttpResponse response = connection_.perform(request, sink);
    const auto location = response.header("location");
    if (!response.is_redirect() || !location) return response;
    std::string target = resolve_url(request.url, *location);
    const bool leaves = url_origin(target) != url_origin(request.url);
    if (request.method == HttpMethod::kHead && leaves && is_metadata(response)) return response;
    M2_REQUIRE(ErrorCode::kUnsupported,
               target.starts_with("https://") || !request.url.starts_with("https://"),
               "hub: a redirect leads from https to ", url_origin(target));
    request.url = std::move(target);
  }
  fail(ErrorCode::kUnsupported, "hub: more than ", limits_.max_redirects,
       " redirects, the last to ", url_origin(request.url));
}

RepoInfo Client::repo_info(const std::string& repo_id, const std::string& revision) {
  // blobs=true adds the sizes.
  const HttpRequest request{.method = HttpMethod::kGet,
                            .url = settings_.endpoint + "/api/models/" + repo_id + "/revision/" +
                                   percent_encode(revision) + "?blobs=true",
                            .headers = {}};
  const std::string what = "hub: " + repo_id + "@" + revision;
  std::string text;
  const HttpResponse response =
      follow(request, [&](const HttpResponse& /*head*/, std::string_view data) {
        M2_REQUIRE(ErrorCode::kCorruptFile, text.size() + data.size() <= limits_.max_answer_bytes,
                   what, ": the answer exceeds the limit of ", limits_.max_answer_bytes, " bytes");
        text += data;
      });
  check_status(response, what);
  return parse_repo_info(text, what);
}

std::string Client::file_url(const FileAddress& address) const {
  return settings_.endpoint + "/" + address.repo_id + "/resolve/" +
         percent_encode(address.revision) + "/" + percent_encode(address.file, "/");
}

FileMetadata Client::metadata(const FileAddress& address) {
  const std::string what = "hub: " + address.text();
  const HttpResponse response =
      follow({.method = HttpMethod::kHead, .url = file_url(address), .headers = {kNoCompression}},
             [](const HttpResponse& /*head*/, std::string_view /*data*/) {});
  FileMetadata metadata;
  metadata.exists = !is_missing_file(response);
  const std::string commit = response.header("x-repo-commit").value_or("");
  if (is_commit_hash(commit)) metadata.commit = commit;
  if (!metadata.exists) return metadata;
  if (!response.is_redirect()) check_status(response, what);
  M2_REQUIRE(ErrorCode::kUnsupported, !metadata.commit.empty(), what,
             ": the answer has no X-Repo-Commit, so this is no hub");
  const auto etag = linked_or_own(response, "x-linked-etag", "etag");
  M2_REQUIRE(ErrorCode::kUnsupported, etag.has_value(), what, ": the answer has no ETag");
  metadata.etag = normalize_etag(*etag, what);
  // The length of a redirect's own body says nothing.
  const auto size = response.is_redirect()
                        ? response.header("x-linked-size")
                        : linked_or_own(response, "x-linked-size", "content-length");
  if (size) metadata.size = parse_size(*size, what);
  return metadata;
}

void Client::fetch(const FileAddress& address, std::int64_t offset, const FileSink& sink) {
  const std::string what = "hub: " + address.text();
  HttpRequest request{
      .method = HttpMethod::kGet, .url = file_url(address), .headers = {kNoCompression}};
  if (offset > 0) request.headers.push_back("Range: bytes=" + std::to_string(offset) + "-");
  bool begun = false;
  const auto begin = [&](const HttpResponse& response) {
    if (!std::exchange(begun, true)) sink.begin(body_start(response, offset, what));
  };
  const HttpResponse response =
      follow(std::move(request), [&](const HttpResponse& head, std::string_view data) {
        begin(head);
        sink.data(data);
      });
  if (response.status == 416 && offset > 0) {
    // What is here is no beginning of what is there; the next attempt starts anew.
    sink.begin({.from_begin = true, .size = {}});
    throw TransientError(what + ": the server has no bytes from " + std::to_string(offset) + " on");
  }
  check_status(response, what);
  begin(response);
}

}  // namespace m2::hub
