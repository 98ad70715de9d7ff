#include "generation/generate/drafter.h"

#include <algorithm>
#include <utility>

#include "generation/live_scores.h"
#include "generation/speculative.h"

namespace m2::generation {
namespace {

GenerationConfig without_sampling(GenerationConfig config) {
  config.do_sample = false;
  return config;
}

}  // namespace

PromptLookupDrafter::PromptLookupDrafter(Search& search)
    : search_(search),
      lookup_{.max_ngram = search.config().max_matching_ngram_size.value_or(2),
              .max_tokens = *search.config().prompt_lookup_num_tokens},
      pipeline_(search.make_pipeline(without_sampling(search.config()))),
      scores_(static_cast<std::size_t>(search.vocab_size())) {}

Draft PromptLookupDrafter::propose(const Ids& ids) {
  if (std::cmp_equal(ids.size() + 1, *search_.config().max_length)) return {};
  const auto allows = [&](std::span<const std::int32_t> text, std::int32_t token) {
    std::ranges::fill(scores_, 1.0F);
    pipeline_.apply({.ids = text}, scores_, search_.scratch());
    return scores_[static_cast<std::size_t>(token)] > std::numeric_limits<float>::lowest();
  };
  return {.tokens = look_up(ids, lookup_, search_.config().eos_token_id.value_or(Ids{}),
                            pipeline_.empty() ? AllowsToken() : AllowsToken(allows))};
}

AssistantDrafter::AssistantDrafter(const GeneratingModel& assistant, PromptColumns columns,
                                   Search& search)
    : assistant_(assistant),
      search_(search),
      run_(assistant, std::move(columns), std::make_shared<DynamicCache>(), {}),
      pipeline_(search.make_pipeline(search.config())) {
  const GenerationConfig config = assistant.generation_config->with_defaults();
  schedule_ = config.num_assistant_tokens_schedule.value_or("constant");
  num_tokens_ = config.num_assistant_tokens.value_or(20);
  threshold_ = config.assistant_confidence_threshold.value_or(0.0);
}

Draft AssistantDrafter::propose(const Ids& ids) {
  const auto cur = static_cast<std::int64_t>(ids.size());
  const std::int64_t count = std::min(num_tokens_, *search_.config().max_length - cur - 1);
  Draft draft;
  std::vector<Ids> rows = {ids};
  while (std::cmp_less(draft.tokens.size(), count)) {
    const Tensor logits = std::move(run_.advance(rows, 1).logits);
    const std::span<float> scores(logits.as<float>(),
                                  static_cast<std::size_t>(search_.vocab_size()));
    pipeline_.apply({.ids = rows[0]}, scores, search_.scratch());
    const std::int32_t token =
        search_.do_sample()
            ? sample(scores, search_.draw_key(0, rows[0].size(), DrawPurpose::kDraftToken))
            : argmax(scores);
    rows[0].push_back(token);
    draft.tokens.push_back(token);
    if (search_.do_sample()) draft.scores.insert(draft.scores.end(), scores.begin(), scores.end());
    if (is_last(scores, token)) break;
  }
  return draft;
}

bool AssistantDrafter::is_last(std::span<const float> scores, std::int32_t token) const {
  const auto& eos = search_.config().eos_token_id;
  if (eos && std::ranges::count(*eos, token) > 0) return true;
  return threshold_ > 0.0 && probability(scores, token) < threshold_;
}

void AssistantDrafter::learn(const Ids& ids, std::int64_t num_drafted, std::int64_t num_matches) {
  run_.crop(static_cast<std::int64_t>(ids.size()) - 1);
  if (schedule_ == "constant") return;
  num_tokens_ =
      num_matches == num_drafted ? num_tokens_ + 2 : std::max<std::int64_t>(1, num_tokens_ - 1);
  if (schedule_ == "heuristic") assistant_.generation_config->num_assistant_tokens = num_tokens_;
}

}  // namespace m2::generation
