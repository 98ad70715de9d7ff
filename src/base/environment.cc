#include "base/environment.h"

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

}  // namespace m2::environment
