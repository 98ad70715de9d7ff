// One HTTP exchange at a time over libcurl. Redirects are answers like any other here.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "hub/retries.h"

namespace m2::hub {

enum class HttpMethod { kGet, kHead };

struct HttpRequest {
  HttpMethod method = HttpMethod::kGet;
  std::string url;
  std::vector<std::string> headers;  ///< "Name: value"
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case

  /// Nothing when the header is missing or empty.
  [[nodiscard]] std::optional<std::string> header(const std::string& name) const;
  [[nodiscard]] bool is_success() const { return status >= 200 && status < 300; }
  [[nodiscard]] bool is_redirect() const;
};

/// Where the body goes, piece by piece. The response is complete but for its body. What the
/// function throws ends the exchange and comes out of perform().
using BodySink = std::function<void(const HttpResponse&, std::string_view)>;

/// A connection that is kept for the next exchange. Not for several threads at once.
class HttpConnection {
 public:
  HttpConnection(const TransferLimits& limits, std::stop_token stop);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  /// Throws TransientError for what may pass; kCancelled; kUnsupported for certificates that do
  /// not hold and addresses that cannot be used. The sink gets the bodies of successes only.
  HttpResponse perform(const HttpRequest& request, const BodySink& sink);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The address that `location` means on a page at `base`. Throws kCorruptFile when it is none,
/// kUnsupported when it is not http(s).
[[nodiscard]] std::string resolve_url(const std::string& base, const std::string& location);
/// "https://host:port" in lower case.
[[nodiscard]] std::string url_origin(const std::string& url);
/// Percent-encodes all but letters, digits, "-._~" and the characters of `keep`.
[[nodiscard]] std::string percent_encode(std::string_view text, std::string_view keep = "");

}  // namespace m2::hub
