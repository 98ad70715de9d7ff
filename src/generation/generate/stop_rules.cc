#include "generation/generate/stop_rules.h"

#include "base/error.h"

namespace m2::generation {

StopRules::StopRules(const GenerationConfig& config, const GenerateOptions& options)
    : stopping_(config, StoppingCriteria::Clock::now()), custom_(options.stopping_criteria) {
  if (!config.stop_strings) return;
  M2_REQUIRE(ErrorCode::kInvalidArgument, options.tokenizer != nullptr,
             "stop_strings: generate() needs the tokenizer to find them");
  stop_strings_.emplace(*config.stop_strings, *options.tokenizer);
}

bool StopRules::ends(std::span<const std::int32_t> ids, std::int64_t row) const {
  bool ends = stopping_.check(ids, StoppingCriteria::Clock::now()).has_value();
  if (!ends && stop_strings_) ends = stop_strings_->matches(ids);
  for (const StoppingCriterion& criterion : custom_) ends |= criterion(ids, row);
  return ends;
}

}  // namespace m2::generation
