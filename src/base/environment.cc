#include "base/environment.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "base/error.h"

namespace m2::environment {
namespace {

std::optional<std::string> get(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

bool is_true(const char* name) {
  std::string text = get(name).value_or("");
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
}

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

// Appends the variable that begins at text[pos] == '$' and returns the position behind it.
std::size_t append_variable(const std::string& text, std::size_t pos, std::string& out) {
  const bool braced = pos + 1 < text.size() && text[pos + 1] == '{';
  const std::size_t begin = pos + (braced ? 2 : 1);
  std::size_t end = begin;
  while (end < text.size() && is_name_character(text[end])) ++end;
  const std::size_t next = end + (braced ? 1 : 0);
  const bool closed = end > begin && (!braced || (end < text.size() && text[end] == '}'));
  const char* value = closed ? std::getenv(text.substr(begin, end - begin).c_str()) : nullptr;
  if (value == nullptr) {
    out += '$';
    return pos + 1;
  }
  out += value;
  return next;
}

std::filesystem::path user_cache() {
  if (const auto path = get("XDG_CACHE_HOME")) return *path;
  return expand_path("~/.cache");
}

}  // namespace

std::optional<int> num_threads() {
  const auto text = get("M2_NUM_THREADS");
  if (!text) return std::nullopt;
  int value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  const bool whole = error == std::errc() && end == text->data() + text->size();
  M2_REQUIRE(ErrorCode::kInvalidArgument, whole && value >= 1 && value <= 1024,
             "M2_NUM_THREADS: expected a number from 1 to 1024, got \"", *text, "\"");
  return value;
}

std::optional<std::string> cpu_target() { return get("M2_CPU_TARGET"); }

bool no_color() { return get("NO_COLOR").has_value(); }

std::string expand_path(const std::string& text) {
  std::string out;
  std::size_t pos = 0;
  const auto home = get("HOME");
  if (home && text.starts_with('~') && (text.size() == 1 || text[1] == '/')) {
    out = *home;
    pos = 1;
  }
  while (pos < text.size()) {
    if (text[pos] == '$') {
      pos = append_variable(text, pos, out);
    } else {
      out += text[pos++];
    }
  }
  return out;
}

std::filesystem::path hf_home() {
  if (const auto path = get("HF_HOME")) return expand_path(*path);
  return expand_path((user_cache() / "huggingface").string());
}

std::filesystem::path hf_hub_cache() {
  if (const auto path = get("HF_HUB_CACHE")) return expand_path(*path);
  if (const auto path = get("HUGGINGFACE_HUB_CACHE")) return expand_path(*path);
  return hf_home() / "hub";
}

std::optional<std::string> hf_endpoint() { return get("HF_ENDPOINT"); }

std::optional<std::string> hf_token() {
  if (auto token = get("HF_TOKEN")) return token;
  return get("HUGGING_FACE_HUB_TOKEN");
}

std::filesystem::path hf_token_path() {
  if (const auto path = get("HF_TOKEN_PATH")) return expand_path(*path);
  return hf_home() / "token";
}

bool hf_hub_offline() { return is_true("HF_HUB_OFFLINE") || is_true("TRANSFORMERS_OFFLINE"); }

bool hf_hub_disable_symlinks() { return is_true("HF_HUB_DISABLE_SYMLINKS"); }

}  // namespace m2::environment
