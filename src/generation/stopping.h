// When a sequence ends, as far as token ids and time tell. Stop strings are a matter of text and
// are matched where text is made.
#pragma once

#include "m2/generation_config.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace m2::generation {

enum class StopReason {
  kEos,     ///< the last token is an end-of-sequence id
  kLength,  ///< max_length is reached
  kTime,    ///< max_time is over
};

class StoppingCriteria {
 public:
  using Clock = std::chrono::steady_clock;

  /// `config` is a resolved configuration (max_length is absolute); max_time counts from `start`.
  StoppingCriteria(const GenerationConfig& config, Clock::time_point start);

  /// Why the sequence `ids` [cur] ends after its last token, or nothing if it goes on. An
  /// end-of-sequence id at the length limit counts as the former.
  [[nodiscard]] std::optional<StopReason> check(std::span<const std::int32_t> ids,
                                                Clock::time_point now) const;

  /// Whether any id can end a sequence. Without one, the reference pads no ended row.
  [[nodiscard]] bool has_eos() const { return !eos_.empty(); }

 private:
  std::optional<std::int64_t> max_length_;
  std::optional<Clock::time_point> deadline_;
  std::vector<std::int32_t> eos_;
};

}  // namespace m2::generation
