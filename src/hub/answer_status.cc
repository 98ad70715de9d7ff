#include "hub/answer_status.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "base/error.h"

namespace m2::hub {
namespace {

constexpr std::size_t kMaxShownMessage = 200;
constexpr std::size_t kMaxEtag = 128;

// The server's own words, fit for a terminal.
std::string server_message(const HttpResponse& response) {
  std::string text = response.header("x-error-message").value_or("");
  text.resize(std::min(text.size(), kMaxShownMessage));
  std::ranges::replace_if(
      text, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.empty() ? text : " (the server says: " + text + ")";
}

std::optional<ErrorCode> code_by_name(const std::string& name) {
  if (name == "RepoNotFound" || name == "RevisionNotFound" || name == "EntryNotFound") {
    return ErrorCode::kNotFound;
  }
  if (name == "GatedRepo") return ErrorCode::kUnsupported;
  return std::nullopt;
}

const char* explain(const std::string& name) {
  if (name == "RevisionNotFound") return "the revision does not exist";
  if (name == "EntryNotFound") return "the file does not exist";
  if (name == "GatedRepo") {
    return "the repository is gated: accept its terms on the hub and pass a token that has access";
  }
  return "the repository does not exist, or is private and needs a token";
}

bool is_transient(int status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

[[noreturn]] void fail_by_status(const HttpResponse& response, const std::string& what) {
  const std::string message = server_message(response);
  switch (response.status) {
    case 401:
      // The hub answers 401 for repositories that do not exist, too.
      if (response.header("x-error-message") == "Invalid credentials in Authorization header") {
        fail(ErrorCode::kInvalidArgument, what, ": the token was refused", message);
      }
      fail(ErrorCode::kNotFound, what, ": ", explain("RepoNotFound"), message);
    case 403:
      fail(ErrorCode::kInvalidArgument, what,
           ": access is forbidden, check the token's permissions", message);
    case 404:
    case 410:
      fail(ErrorCode::kNotFound, what, ": not found", message);
    default:
      fail(ErrorCode::kUnsupported, what, ": unexpected status ", response.status, message);
  }
}

}  // namespace

void check_status(const HttpResponse& response, const std::string& what) {
  if (response.is_success()) return;
  if (is_transient(response.status)) {
    TransientError error(what + ": the server is not available, status " +
                         std::to_string(response.status) + server_message(response));
    if (const auto value = response.header("retry-after")) {
      error.retry_after = parse_retry_after(*value);
    }
    throw error;
  }
  const std::string name = response.header("x-error-code").value_or("");
  if (const auto code = code_by_name(name)) {
    fail(*code, what, ": ", explain(name), server_message(response));
  }
  fail_by_status(response, what);
}

bool is_missing_file(const HttpResponse& response) {
  return response.status == 404 && response.header("x-error-code") == "EntryNotFound";
}

std::string normalize_etag(const std::string& value, const std::string& what) {
  std::string_view etag = value;
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  while (etag.starts_with('"')) etag.remove_prefix(1);
  while (etag.ends_with('"')) etag.remove_suffix(1);
  const bool plain =
      !etag.empty() && etag.size() <= kMaxEtag && etag.front() != '.' &&
      std::ranges::all_of(etag, [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
      });
  M2_REQUIRE(ErrorCode::kCorruptFile, plain, what, ": the server's ETag cannot name a file");
  return std::string(etag);
}

std::int64_t parse_size(const std::string& value, const std::string& what) {
  constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 50;
  std::int64_t size = -1;
  const char* end = value.data() + value.size();
  const auto [rest, fault] = std::from_chars(value.data(), end, size);
  M2_REQUIRE(ErrorCode::kCorruptFile,
             fault == std::errc() && rest == end && size >= 0 && size <= kMaxFileBytes, what,
             ": expected a size in bytes, the server says \"", value.substr(0, kMaxShownMessage),
             "\"");
  return size;
}

ContentRange parse_content_range(const std::string& value, const std::string& what) {
  const std::size_t dash = value.find('-');
  const std::size_t slash = value.find('/');
  constexpr std::string_view kUnit = "bytes ";
  M2_REQUIRE(ErrorCode::kCorruptFile,
             value.starts_with(kUnit) && dash != std::string::npos && slash != std::string::npos &&
                 dash < slash,
             what, ": unreadable Content-Range");
  ContentRange range{.begin = parse_size(value.substr(kUnit.size(), dash - kUnit.size()), what),
                     .size = {}};
  const std::string size = value.substr(slash + 1);
  if (size != "*") range.size = parse_size(size, what);
  return range;
}

}  // namespace m2::hub
