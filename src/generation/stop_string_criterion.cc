#include "generation/stop_string_criterion.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace m2::generation {

StopStringCriterion::StopStringCriterion(std::vector<std::string> stop_strings, Tokenizer tokenizer)
    : stop_strings_(std::move(stop_strings)), tokenizer_(std::move(tokenizer)) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, !stop_strings_.empty(),
             "stop_strings: expected a non-empty list");
  for (const std::string& stop : stop_strings_) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, !stop.empty(),
               "stop_strings: expected non-empty strings");
    longest_ = std::max(longest_, stop.size());
  }
}

bool StopStringCriterion::matches(std::span<const std::int32_t> ids) const {
  if (ids.empty()) return false;
  std::string tail(tokenizer_.token_bytes(ids.back()));
  const std::size_t last_size = tail.size();
  for (std::size_t i = ids.size() - 1; i > 0 && tail.size() < last_size + longest_ - 1; --i) {
    tail.insert(0, tokenizer_.token_bytes(ids[i - 1]));
  }
  const std::size_t last_begin = tail.size() - last_size;
  return std::ranges::any_of(stop_strings_, [&](const std::string& stop) {
    // The first place from which the string reaches into the last token.
    const std::size_t from = last_begin + 1 > stop.size() ? last_begin + 1 - stop.size() : 0;
    return std::string_view(tail).find(stop, from) != std::string_view::npos;
  });
}

}  // namespace m2::generation
