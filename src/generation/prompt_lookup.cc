#include "generation/prompt_lookup.h"

#include <algorithm>

namespace m2::generation {
namespace {

using Ids = std::vector<std::int32_t>;

Ids cut_forbidden(std::span<const std::int32_t> ids, Ids draft, const AllowsToken& allows) {
  if (!allows) return draft;
  Ids text(ids.begin(), ids.end());
  for (std::size_t i = 0; i < draft.size(); ++i) {
    if (!allows(text, draft[i])) {
      draft.resize(i);
      break;
    }
    text.push_back(draft[i]);
  }
  return draft;
}

}  // namespace

std::vector<std::int32_t> look_up(std::span<const std::int32_t> ids, const PromptLookup& lookup,
                                  std::span<const std::int32_t> eos, const AllowsToken& allows) {
  const auto longest = std::min<std::size_t>(static_cast<std::size_t>(lookup.max_ngram),
                                             ids.empty() ? 0 : ids.size() - 1);
  for (std::size_t n = longest; n > 0; --n) {
    const auto ngram = ids.last(n);
    for (std::size_t begin = 0; begin + n < ids.size(); ++begin) {
      if (!std::ranges::equal(ids.subspan(begin, n), ngram)) continue;
      const auto rest = ids.subspan(begin + n);
      const auto count = std::min(rest.size(), static_cast<std::size_t>(lookup.max_tokens));
      Ids draft = cut_forbidden(
          ids, Ids(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(count)), allows);
      if (draft.empty()) continue;
      draft.erase(std::ranges::find_first_of(draft, eos), draft.end());
      return draft;
    }
  }
  return {};
}

}  // namespace m2::generation
