// Adds up what several downloads report and tells the caller now and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "m2/hub.h"

namespace m2::hub {

class Progress {
 public:
  explicit Progress(const std::function<void(const HubProgress&)>& callback)
      : callback_(callback) {}

  /// Adds a file and its size, as far as it is known.
  void expect(std::int64_t num_bytes);
  /// The size of a file that was counted with another one.
  void correct(std::int64_t more_bytes);
  void add_bytes(const std::string& file, std::int64_t num_bytes);
  void file_done(const std::string& file);

 private:
  void report(const std::string& file, bool always);

  const std::function<void(const HubProgress&)>& callback_;
  std::mutex mutex_;
  HubProgress progress_;
  std::chrono::steady_clock::time_point last_report_;
};

}  // namespace m2::hub
