#include "generation/logits_pipeline.h"

#include "base/error.h"
#include "generation/live_scores.h"

#include <algorithm>
#include <utility>

namespace m2::generation {

LogitsPipeline::LogitsPipeline(std::vector<LogitsStep> steps, const PipelineOptions& options,
                               std::optional<std::size_t> num_until_cut)
    : steps_(std::move(steps)),
      vocab_size_(options.vocab_size),
      num_valid_tokens_(options.num_valid_tokens > 0 ? options.num_valid_tokens
                                                     : options.vocab_size),
      prompt_length_(options.prompt_length),
      num_until_cut_(num_until_cut) {}

void LogitsPipeline::apply(const StepContext& context, std::span<float> scores,
                           LogitsScratch& scratch) const {
  M2_CHECK(static_cast<std::int64_t>(scores.size()) == vocab_size_, "scores [", scores.size(),
           "], expected [", vocab_size_, "]");
  M2_CHECK(static_cast<std::int64_t>(context.ids.size()) >= prompt_length_, context.ids.size(),
           " ids, fewer than the prompt's ", prompt_length_);
  M2_CHECK(scratch.vocab_size() >= num_valid_tokens_, "the scratch memory serves ",
           scratch.vocab_size(), " scores, not ", num_valid_tokens_);
  const auto num_valid = static_cast<std::size_t>(num_valid_tokens_);
  // Processors never see the ids without a token, so none can bring them back.
  std::ranges::fill(scores.subspan(num_valid), kRemoved);
  for (const LogitsStep& step : steps_) step.run(context, scores.first(num_valid), scratch);
}

bool LogitsPipeline::apply(const StepContext& context, BestScores& best,
                           LogitsScratch& scratch) const {
  if (!num_until_cut_) return false;
  best.drop_from(num_valid_tokens_);
  if (best.scores().empty()) return false;
  const std::span steps(steps_);
  for (const LogitsStep& step : steps.first(*num_until_cut_)) {
    step.run(context, best.scores(), scratch);
  }
  // What is not here is no better than the worst that is, so it went with it.
  if (*num_until_cut_ > 0 && best.worst() > kRemoved) return false;
  for (const LogitsStep& step : steps.subspan(*num_until_cut_)) {
    step.run(context, best.scores(), scratch);
  }
  return true;
}

std::vector<std::string> LogitsPipeline::names() const {
  std::vector<std::string> names;
  for (const LogitsStep& step : steps_) names.push_back(step.name);
  return names;
}

}  // namespace m2::generation
