#include "hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <exception>
#include <utility>

#include "base/error.h"
#include "m2/version.h"

namespace m2::hub {
namespace {

constexpr std::size_t kMaxHeaderBytes = 256U << 10U;
// What a server says along with an error is not shown and must not take long.
constexpr std::size_t kMaxIgnoredBytes = 1U << 20U;
constexpr int kPollMs = 50;  // how long a cancellation may wait
using Clock = std::chrono::steady_clock;

struct FreeEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct FreeMulti {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

void initialize_curl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  M2_CHECK(code == CURLE_OK, "curl_global_init: ", curl_easy_strerror(code));
}

// Failures that the next attempt would meet again.
bool is_permanent(CURLcode code) {
  switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_WRITE_ERROR:  // a header or an ignored body beyond its bound
      return true;
    default:
      return false;
  }
}

// Storage hosts put signatures behind the question mark.
std::string shown(const std::string& url) { return url.substr(0, url.find('?')); }

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// What the callbacks of libcurl fill.
struct Exchange {
  const BodySink& sink;
  HttpResponse response;
  std::size_t header_bytes = 0;
  std::size_t ignored_bytes = 0;
  bool headers_complete = false;
  Clock::time_point last_byte = Clock::now();
  std::exception_ptr failure;

  void take_header(std::string_view line) {
    headers_complete = trim(line).empty();
    if (line.starts_with("HTTP/")) {
      response = {};
      const std::size_t space = std::min(line.find(' '), line.size() - 1);
      std::from_chars(line.data() + space + 1, line.data() + line.size(), response.status);
      return;
    }
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    std::string name(line.substr(0, colon));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    response.headers[name] = std::string(trim(line.substr(colon + 1)));
  }

  bool take_body(std::string_view data) {
    if (!response.is_success()) {
      ignored_bytes += data.size();
      return ignored_bytes <= kMaxIgnoredBytes;
    }
    try {
      sink(response, data);
      return true;
    } catch (...) {
      failure = std::current_exception();
      return false;
    }
  }
};

std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::size_t num_bytes = size * count;
  exchange.last_byte = Clock::now();
  exchange.header_bytes += num_bytes;
  if (exchange.header_bytes > kMaxHeaderBytes) return 0;
  exchange.take_header({data, num_bytes});
  return num_bytes;
}

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const std::size_t num_bytes = size * count;
  exchange.last_byte = Clock::now();
  return exchange.take_body({data, num_bytes}) ? num_bytes : 0;
}

}  // namespace

std::optional<std::string> HttpResponse::header(const std::string& name) const {
  const auto found = headers.find(name);
  if (found == headers.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

bool HttpResponse::is_redirect() const {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

struct HttpConnection::Impl {
  const TransferLimits& limits;
  std::stop_token stop;
  std::unique_ptr<CURLM, FreeMulti> multi;  // keeps the connections
  std::unique_ptr<CURL, FreeEasy> easy;

  void prepare(const HttpRequest& request, curl_slist* headers, Exchange& exchange) const {
    CURL* handle = easy.get();
    curl_easy_reset(handle);
    curl_easy_setopt(handle, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_NOBODY, request.method == HttpMethod::kHead ? 1L : 0L);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "m2/" M2_VERSION);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(limits.connect_timeout.count()));
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &exchange);
    curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, 512L << 10U);
  }

  // Runs the transfer; it must be removed from `multi` whatever happens here.
  CURLcode run(const HttpRequest& request, const Exchange& exchange) const {
    int running = 1;
    while (running > 0) {
      M2_CHECK(curl_multi_perform(multi.get(), &running) == CURLM_OK);
      M2_REQUIRE(ErrorCode::kCancelled, !stop.stop_requested(), "hub: download cancelled");
      if (running == 0) break;
      if (Clock::now() - exchange.last_byte > limits.stall_timeout) {
        throw TransientError("hub: " + shown(request.url) + ": nothing came for " +
                             std::to_string(limits.stall_timeout.count()) + " ms");
      }
      M2_CHECK(curl_multi_poll(multi.get(), nullptr, 0, kPollMs, nullptr) == CURLM_OK);
    }
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi.get(), &left);
    M2_CHECK(message != nullptr && message->msg == CURLMSG_DONE);
    return message->data.result;
  }
};

HttpConnection::HttpConnection(const TransferLimits& limits, std::stop_token stop) {
  initialize_curl();
  impl_ = std::make_unique<Impl>(limits, std::move(stop));
  impl_->multi.reset(curl_multi_init());
  impl_->easy.reset(curl_easy_init());
  M2_CHECK(impl_->multi && impl_->easy);
}

HttpConnection::~HttpConnection() = default;

HttpResponse HttpConnection::perform(const HttpRequest& request, const BodySink& sink) {
  std::unique_ptr<curl_slist, FreeList> headers;
  for (const std::string& header : request.headers) {
    curl_slist* longer = curl_slist_append(headers.get(), header.c_str());
    M2_CHECK(longer != nullptr);
    static_cast<void>(headers.release());
    headers.reset(longer);
  }
  Exchange exchange{.sink = sink};
  impl_->prepare(request, headers.get(), exchange);
  M2_CHECK(curl_multi_add_handle(impl_->multi.get(), impl_->easy.get()) == CURLM_OK);
  struct Remove {
    Impl& impl;
    ~Remove() { curl_multi_remove_handle(impl.multi.get(), impl.easy.get()); }
  } const remove{*impl_};
  const CURLcode code = impl_->run(request, exchange);
  if (exchange.failure) std::rethrow_exception(exchange.failure);
  const bool is_whole = code == CURLE_OK && exchange.headers_complete;
  if (is_whole) return std::move(exchange.response);
  // libcurl takes headers that end in the middle for all of them.
  const std::string message =
      "hub: " + shown(request.url) + ": " +
      (code == CURLE_OK ? "the headers were cut" : curl_easy_strerror(code));
  M2_REQUIRE(ErrorCode::kUnsupported, !is_permanent(code), message);
  TransientError error(message);
  error.unreachable = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT;
  throw error;
}

}  // namespace m2::hub
