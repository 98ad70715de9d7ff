#include "generation/stopping.h"

#include <algorithm>

namespace m2::generation {

StoppingCriteria::StoppingCriteria(const GenerationConfig& config, Clock::time_point start)
    : max_length_(config.max_length) {
  constexpr double kForever = 1e9;  // seconds; more would overflow the clock's ticks
  if (config.max_time && *config.max_time < kForever) {
    const std::chrono::duration<double> limit(std::max(*config.max_time, 0.0));
    deadline_ = start + std::chrono::duration_cast<Clock::duration>(limit);
  }
  if (config.eos_token_id) eos_ = *config.eos_token_id;
}

std::optional<StopReason> StoppingCriteria::check(std::span<const std::int32_t> ids,
                                                  Clock::time_point now) const {
  if (!ids.empty() && std::ranges::count(eos_, ids.back()) > 0) return StopReason::kEos;
  if (max_length_ && static_cast<std::int64_t>(ids.size()) >= *max_length_) {
    return StopReason::kLength;
  }
  if (deadline_ && now > *deadline_) return StopReason::kTime;
  return std::nullopt;
}

}  // namespace m2::generation
