#include "hub/retries.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <random>
#include <utility>

#include "base/error.h"

namespace m2::hub {
namespace {

void sleep_unless_stopped(Milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, time, [] { return false; });
  M2_REQUIRE(ErrorCode::kCancelled, !stop.stop_requested(), "hub: download cancelled");
}

}  // namespace

Retries::Retries(const TransferLimits& limits, std::stop_token stop)
    : limits_(limits), stop_(std::move(stop)) {}

// Doubles up to the bound; the random half keeps parallel downloads from coming back at once.
Milliseconds Retries::backoff() {
  constexpr int kMaxDoublings = 16;
  const auto longest = std::min(limits_.first_backoff * (1 << std::min(failures_, kMaxDoublings)),
                                limits_.max_backoff);
  std::random_device random;
  return longest / 2 + longest / 2 * static_cast<int>(random() % 100) / 100;
}

void Retries::wait(const TransientError& error) {
  M2_REQUIRE(ErrorCode::kCancelled, !stop_.stop_requested(), "hub: download cancelled");
  const auto asked = error.retry_after.value_or(Milliseconds(0));
  M2_REQUIRE(ErrorCode::kResourceExhausted, asked <= limits_.max_retry_after, error.what(),
             "; the server asks to wait ", asked.count() / 1000, " s");
  const Milliseconds time = std::max(backoff(), asked);
  ++failures_;
  const int allowed = error.unreachable
                          ? std::min(limits_.max_attempts, limits_.max_unreachable_attempts)
                          : limits_.max_attempts;
  M2_REQUIRE(ErrorCode::kResourceExhausted, failures_ < allowed, error.what(), " (after ",
             failures_, failures_ == 1 ? " attempt)" : " attempts)");
  sleep_unless_stopped(time, stop_);
}

std::optional<Milliseconds> parse_retry_after(const std::string& value) {
  // Beyond any limit, and far from overflow.
  constexpr std::int64_t kMaxSeconds = 1'000'000'000;
  std::int64_t seconds = 0;
  const char* end = value.data() + value.size();
  const auto [rest, fault] = std::from_chars(value.data(), end, seconds);
  if (fault == std::errc::invalid_argument || rest != end) {
    const std::time_t date = curl_getdate(value.c_str(), nullptr);
    if (date < 0) return std::nullopt;
    seconds = date - std::time(nullptr);
  } else if (fault != std::errc()) {
    seconds = kMaxSeconds;
  }
  return Milliseconds(1000 * std::clamp<std::int64_t>(seconds, 0, kMaxSeconds));
}

}  // namespace m2::hub
