// Drafts from the text itself (prompt lookup decoding, Saxena, 2023).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace m2::generation {

struct PromptLookup {
  std::int64_t max_ngram = 2;   // max_matching_ngram_size
  std::int64_t max_tokens = 0;  // prompt_lookup_num_tokens
};

/// Whether the processors allow `token` behind `ids`.
using AllowsToken = std::function<bool(std::span<const std::int32_t> ids, std::int32_t token)>;

/// What followed the first earlier occurrence of the longest n-gram that `ids` end with, up to
/// max_tokens, the first forbidden token, and the first of `eos`. An occurrence whose continuation
/// is forbidden from the start is passed over. Empty: no draft. `allows` may be empty.
std::vector<std::int32_t> look_up(std::span<const std::int32_t> ids, const PromptLookup& lookup,
                                  std::span<const std::int32_t> eos, const AllowsToken& allows);

}  // namespace m2::generation
