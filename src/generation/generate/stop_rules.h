// When a row of generate() ends.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "generation/stop_string_criterion.h"
#include "generation/stopping.h"
#include "m2/generation.h"

namespace m2::generation {

/// Length, time, end-of-sequence ids, stop strings and the caller's criteria together.
class StopRules {
 public:
  /// Throws kInvalidArgument for stop_strings without a tokenizer. max_time counts from now.
  StopRules(const GenerationConfig& config, const GenerateOptions& options);

  /// Whether the sequence `ids` [cur] ends after its last token. Every criterion of the caller is
  /// asked.
  [[nodiscard]] bool ends(std::span<const std::int32_t> ids, std::int64_t row) const;
  [[nodiscard]] bool has_eos() const { return stopping_.has_eos(); }

 private:
  StoppingCriteria stopping_;
  std::optional<StopStringCriterion> stop_strings_;
  std::vector<StoppingCriterion> custom_;
};

}  // namespace m2::generation
