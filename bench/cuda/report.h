// Timing of device work and the figures that a run leaves behind.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "ops/backend.h"

namespace m2::bench {

struct Figure {
  std::string name;    // "moe_experts F8_E4M3 T=1"
  double seconds = 0;  // of one call
  double bytes = 0;    // that it must read
  double flops = 0;    // where arithmetic is what counts
};

class Report {
 public:
  Report(std::string device, double read_rate)
      : device_(std::move(device)), read_rate_(read_rate) {}

  /// Prints the figure with its rate and the share of the read rate.
  void add(const Figure& figure);
  /// Throws kNotFound when the file cannot be written.
  void write_json(const std::string& path) const;

 private:
  std::string device_;
  double read_rate_;  // bytes a second
  std::vector<Figure> figures_;
};

/// Seconds of one call: the median of several rounds of many calls that are waited for together,
/// so that the device and not the launching decides wherever it is the slower one.
[[nodiscard]] double time_calls(Backend& backend, const std::function<void(int)>& call);

/// Calls of a recorded step.
constexpr int kRecordedCalls = 16;

/// The same for calls of a recorded step, without any launching by the host: call(i) for each i
/// below kRecordedCalls.
[[nodiscard]] double time_recorded(Backend& backend, const std::function<void(int)>& call);

}  // namespace m2::bench
