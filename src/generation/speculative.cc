#include "generation/speculative.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "generation/live_scores.h"
#include "generation/logits_processors.h"

namespace m2::generation {
namespace {

// A draw from max(p - q, 0), normalised; from p itself where rounding leaves nothing of that.
std::int32_t sample_residual(std::span<const float> target, std::span<const float> proposal,
                             const DrawKey& key) {
  std::vector<float> p(target.begin(), target.end());
  std::vector<float> q(proposal.begin(), proposal.end());
  log_softmax(p);
  log_softmax(q);
  for (std::size_t id = 0; id < p.size(); ++id) {
    const double rest = std::exp(static_cast<double>(p[id])) - std::exp(static_cast<double>(q[id]));
    p[id] = rest > 0.0 ? static_cast<float>(std::log(rest)) : kRemoved;
  }
  return max_score(p) > kRemoved ? sample(p, key) : sample(target, key);
}

}  // namespace

double probability(std::span<const float> scores, std::int32_t token) {
  const float max = max_score(scores);
  double sum = 0.0;
  for_each_live(scores, [&](std::size_t /*id*/, float score) {
    sum += std::exp(static_cast<double>(score) - max);
  });
  return std::exp(static_cast<double>(scores[static_cast<std::size_t>(token)]) - max) / sum;
}

Verdict verify_choices(std::span<const std::int32_t> draft, std::span<const std::int32_t> chosen,
                       bool draft_ends_text) {
  M2_CHECK(chosen.size() == draft.size() + 1, chosen.size(), " choices for ", draft.size(),
           " drafted tokens");
  const auto matches =
      static_cast<std::size_t>(std::ranges::mismatch(draft, chosen).in1 - draft.begin());
  const bool is_complete = draft_ends_text && matches == draft.size();
  const std::size_t count = is_complete ? matches : matches + 1;
  return {.tokens = {chosen.begin(), chosen.begin() + static_cast<std::ptrdiff_t>(count)},
          .num_matches = static_cast<std::int64_t>(matches)};
}

Verdict verify_draws(std::span<const std::int32_t> draft, std::span<const float> target,
                     std::span<const float> proposal, bool draft_ends_text, const DraftKey& key) {
  const std::size_t width = target.size() / (draft.size() + 1);
  M2_CHECK(proposal.size() == draft.size() * width, "scores [", proposal.size(), "] of a draft of ",
           draft.size(), " tokens");
  Verdict verdict;
  for (std::size_t i = 0; i < draft.size(); ++i) {
    const auto p = target.subspan(i * width, width);
    const auto q = proposal.subspan(i * width, width);
    const double ratio = probability(p, draft[i]) / probability(q, draft[i]);
    if (!(uniform(key(i, DrawPurpose::kAcceptance)) <= ratio)) {
      verdict.tokens.push_back(sample_residual(p, q, key(i, DrawPurpose::kResidualToken)));
      return verdict;
    }
    verdict.tokens.push_back(draft[i]);
    ++verdict.num_matches;
  }
  if (!draft_ends_text) {
    verdict.tokens.push_back(sample(target.last(width), key(draft.size(), DrawPurpose::kToken)));
  }
  return verdict;
}

}  // namespace m2::generation
