// When a request is tried again, and how long to wait before.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>

namespace m2::hub {

using Milliseconds = std::chrono::milliseconds;

/// Bounds of everything that a server could draw out.
struct TransferLimits {
  Milliseconds connect_timeout{10'000};
  Milliseconds stall_timeout{30'000};  ///< without a single byte
  int max_redirects = 10;
  int max_attempts = 6;              ///< without progress between them
  int max_unreachable_attempts = 6;  ///< while the server cannot be reached at all
  Milliseconds first_backoff{1'000};
  Milliseconds max_backoff{16'000};
  /// A server that asks for more patience than this (Retry-After) is not waited for.
  Milliseconds max_retry_after{300'000};
  /// This many new bytes count as progress: the attempts are counted from one again.
  std::int64_t progress_bytes = 1 << 20;
  std::size_t max_answer_bytes = 64U << 20U;
};

/// A failure that may pass: connection cut, server overloaded.
struct TransientError : std::runtime_error {
  explicit TransientError(const std::string& message) : std::runtime_error(message) {}
  std::optional<Milliseconds> retry_after;
  bool unreachable = false;  ///< no connection was made
};

/// Waits between the attempts of one request.
class Retries {
 public:
  Retries(const TransferLimits& limits, std::stop_token stop);

  /// After a failed attempt: waits before the next one. Throws kResourceExhausted when there is
  /// none left, kCancelled when asked to stop.
  void wait(const TransientError& error);
  /// The attempt brought something: counting starts again.
  void progressed() { failures_ = 0; }

 private:
  [[nodiscard]] Milliseconds backoff();

  TransferLimits limits_;
  std::stop_token stop_;
  int failures_ = 0;
};

/// Calls `attempt` until it does not throw a TransientError.
template <typename Attempt>
auto with_retries(const TransferLimits& limits, const std::stop_token& stop,
                  const Attempt& attempt) {
  Retries retries(limits, stop);
  for (;;) {
    try {
      return attempt();
    } catch (const TransientError& error) {
      retries.wait(error);
    }
  }
}

/// The value of a Retry-After header, seconds or a date; nothing when it is neither.
[[nodiscard]] std::optional<Milliseconds> parse_retry_after(const std::string& value);

}  // namespace m2::hub
