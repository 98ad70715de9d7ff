// Addresses: resolving, comparing, encoding.
#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "base/error.h"
#include "base/utf8.h"
#include "hub/http.h"

namespace m2::hub {
namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, FreeUrl>;

void parse_into(const Url& url, const std::string& text) {
  M2_CHECK(url != nullptr);
  const bool parsed = curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) == CURLUE_OK;
  M2_REQUIRE(ErrorCode::kCorruptFile, parsed, "hub: \"", utf8::replace_invalid(text),
             "\" is no address");
}

std::string part(const Url& url, CURLUPart which) {
  char* text = nullptr;
  const CURLUcode code = curl_url_get(url.get(), which, &text, CURLU_DEFAULT_PORT);
  M2_REQUIRE(ErrorCode::kCorruptFile, code == CURLUE_OK, "hub: an address lacks a part");
  std::string result(text);
  curl_free(text);
  return result;
}

}  // namespace

std::string resolve_url(const std::string& base, const std::string& location) {
  const Url url(curl_url());
  parse_into(url, base);
  parse_into(url, location);
  char* text = nullptr;
  M2_CHECK(curl_url_get(url.get(), CURLUPART_URL, &text, 0) == CURLUE_OK);
  std::string result(text);
  curl_free(text);
  M2_REQUIRE(ErrorCode::kUnsupported,
             result.starts_with("https://") || result.starts_with("http://"), "hub: \"",
             utf8::replace_invalid(result), "\" is no http(s) address");
  return result;
}

std::string url_origin(const std::string& text) {
  const Url url(curl_url());
  parse_into(url, text);
  std::string origin = part(url, CURLUPART_SCHEME) + "://" + part(url, CURLUPART_HOST) + ":" +
                       part(url, CURLUPART_PORT);
  std::ranges::transform(origin, origin.begin(), [](unsigned char c) { return std::tolower(c); });
  return origin;
}

std::string percent_encode(std::string_view text, std::string_view keep) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte < 0x80 && std::isalnum(byte) != 0) ||
                       std::string_view("-._~").find(c) != std::string_view::npos ||
                       keep.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4U], kDigits[byte & 0xFU]};
    }
  }
  return out;
}

}  // namespace m2::hub
