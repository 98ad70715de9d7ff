#include "hub/progress.h"

namespace m2::hub {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(100);

}  // namespace

void Progress::expect(std::int64_t num_bytes) {
  const std::lock_guard lock(mutex_);
  ++progress_.files_total;
  progress_.bytes_total += num_bytes;
}

void Progress::correct(std::int64_t more_bytes) {
  const std::lock_guard lock(mutex_);
  progress_.bytes_total += more_bytes;
}

void Progress::add_bytes(const std::string& file, std::int64_t num_bytes) {
  const std::lock_guard lock(mutex_);
  progress_.bytes_done += num_bytes;
  report(file, /*always=*/false);
}

void Progress::file_done(const std::string& file) {
  const std::lock_guard lock(mutex_);
  ++progress_.files_done;
  report(file, /*always=*/true);
}

void Progress::report(const std::string& file, bool always) {
  if (!callback_) return;
  const auto now = std::chrono::steady_clock::now();
  if (!always && now - last_report_ < kInterval) return;
  last_report_ = now;
  progress_.file = file;
  callback_(progress_);
}

}  // namespace m2::hub
