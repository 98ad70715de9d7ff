#include "hub/settings.h"

#include <algorithm>

#include "base/environment.h"
#include "base/error.h"
#include "hub/files.h"

namespace m2::hub {
namespace {

constexpr const char* kPublicHub = "https://huggingface.co";
constexpr std::size_t kMaxTokenBytes = 4096;

std::string read_endpoint(const HubOptions& options) {
  std::string endpoint =
      options.endpoint ? *options.endpoint : environment::hf_endpoint().value_or(kPublicHub);
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const bool usable = endpoint.starts_with("https://") || endpoint.starts_with("http://");
  M2_REQUIRE(ErrorCode::kInvalidArgument, usable, "hub endpoint: expected http(s)://..., got \"",
             endpoint, "\"");
  return endpoint;
}

std::optional<std::string> read_token(const HubOptions& options) {
  std::optional<std::string> token = options.token;
  if (!token) token = environment::hf_token();
  if (!token) token = read_text(environment::hf_token_path(), kMaxTokenBytes + 1);
  if (!token) return std::nullopt;
  constexpr const char* kSpace = " \t\r\n";
  token->erase(0, std::min(token->find_first_not_of(kSpace), token->size()));
  token->erase(token->find_last_not_of(kSpace) + 1);
  if (token->empty()) return std::nullopt;
  const bool printable = std::ranges::all_of(*token, [](char c) { return c > ' ' && c < 0x7F; });
  M2_REQUIRE(ErrorCode::kInvalidArgument, printable && token->size() <= kMaxTokenBytes,
             "hub token: expected one word of printable ASCII");
  return token;
}

}  // namespace

Settings resolve_settings(const HubOptions& options) {
  return {
      .cache_dir = std::filesystem::absolute(
          options.cache_dir ? std::filesystem::path(environment::expand_path(*options.cache_dir))
                            : environment::hf_hub_cache()),
      .endpoint = read_endpoint(options),
      .token = read_token(options),
      .offline = options.local_files_only || environment::hf_hub_offline(),
      .symlinks = !environment::hf_hub_disable_symlinks()};
}

}  // namespace m2::hub
