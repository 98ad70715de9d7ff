// What the engine is asked and what it answers: tokens in, tokens out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "m2/generation_config.h"

namespace m2 {

using RequestId = std::int64_t;

enum class FinishReason {
  kStop,       ///< an end-of-sequence token
  kLength,     ///< the length limit
  kTime,       ///< max_time
  kCancelled,  ///< cancel()
  kError,      ///< its token could not be chosen; TokenEvent::error says why
};

struct EngineRequest {
  std::vector<std::int32_t> prompt_ids;  // at least one
  /// As many as the prompt, 0 = padding that no token may see; empty: all are real.
  std::vector<std::uint8_t> prompt_mask;
  /// As many as the prompt; empty: the running count of real tokens, 1 where there is padding. New
  /// tokens count on from the last.
  std::vector<std::int64_t> position_ids;
  GenerationConfig config;  // resolved (resolve_generation_config), one sequence
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;  // tells apart sequences that share a seed
};

/// One step of one request: a new token, the end, or both.
struct TokenEvent {
  RequestId request = 0;
  std::optional<std::int32_t> token;
  /// With a token: how much of the prompt was found computed.
  std::int64_t num_prefix_tokens = 0;
  std::optional<FinishReason> finish_reason;
  std::string error;
};

}  // namespace m2
