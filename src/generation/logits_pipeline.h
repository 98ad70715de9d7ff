// The processors of one request, in the reference's order.
#pragma once

#include "generation/best_scores.h"
#include "generation/logits_scratch.h"
#include "m2/generation_config.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace m2::generation {

/// What a processor may look at besides the scores.
struct StepContext {
  std::span<const std::int32_t> ids;  // [cur] prompt and generated tokens
  std::int64_t batch_index = 0;       // which prompt of the request
  std::int64_t row = 0;               // which sequence of the request
  /// [num_valid_tokens] logits without the prompt (or with the negative one); for guidance_scale.
  std::span<const float> unconditional;
};

/// One processor. `scores` is [num_valid_tokens].
struct LogitsStep {
  std::string name;  ///< the option's name, as in "top_p"
  std::function<void(const StepContext&, std::span<float> scores, LogitsScratch&)> run;
};

/// Ids that may come next; an empty list is an error.
using AllowedTokens = std::function<std::vector<std::int32_t>(const StepContext&)>;

struct PipelineOptions {
  std::int64_t vocab_size = 0;          ///< V: scores in a row
  std::int64_t num_valid_tokens = 0;    ///< ids from here to V have no token; 0: all V have one
  std::int64_t prompt_length = 0;       ///< P
  std::int64_t min_tokens_to_keep = 1;  ///< of the sampling filters; beam search needs more
  AllowedTokens allowed_tokens;         ///< may be empty
  /// The caller's processors. One with the name of a built-in one takes its place; the others run
  /// after the built-in ones and before the sampling filters.
  std::vector<LogitsStep> custom;
};

/// Immutable: rows and threads may share it, each thread with a scratch of its own.
class LogitsPipeline {
 public:
  /// `num_until_cut` is the number of steps after which nothing remains but the best scores, if the
  /// cut was among those that are known (0: only the very best is asked for); nothing: never.
  LogitsPipeline(std::vector<LogitsStep> steps, const PipelineOptions& options,
                 std::optional<std::size_t> num_until_cut);

  /// Processes `scores` [V] in place for the sequence `context.ids`. Ids without a token end
  /// at -inf whatever the processors do. Throws kInvalidArgument for a request that allows no
  /// token. Allocates nothing unless a custom processor does.
  void apply(const StepContext& context, std::span<float> scores, LogitsScratch& scratch) const;

  /// As the other, on the best scores of a row. False where they do not settle the choice, because
  /// a processor looks at other tokens, or because more tokens than these may remain: `best` is
  /// spoilt then, and the whole row is needed.
  [[nodiscard]] bool apply(const StepContext& context, BestScores& best,
                           LogitsScratch& scratch) const;

  /// True if only ids without a token are masked.
  [[nodiscard]] bool empty() const { return steps_.empty(); }
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::vector<LogitsStep> steps_;
  std::int64_t vocab_size_;
  std::int64_t num_valid_tokens_;
  std::int64_t prompt_length_;
  std::optional<std::size_t> num_until_cut_;
};

/// The pipeline that a resolved configuration asks for. Throws kInvalidArgument, naming the option,
/// for active values out of range and for ids beyond the vocabulary.
LogitsPipeline build_pipeline(const GenerationConfig& config, const PipelineOptions& options);

}  // namespace m2::generation
