#include "report.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "base/error.h"

namespace m2::bench {

void Report::add(const Figure& figure) {
  figures_.push_back(figure);
  const double rate = figure.bytes / figure.seconds;
  std::printf("%-44s %10.2f us %9.1f GB/s  share %.3f", figure.name.c_str(), figure.seconds * 1e6,
              rate * 1e-9, rate / read_rate_);
  if (figure.flops > 0) std::printf("  %.0f TFLOP/s", figure.flops / figure.seconds * 1e-12);
  std::printf("\n");
  std::fflush(stdout);
}

void Report::write_json(const std::string& path) const {
  std::ofstream out(path);
  out << "{\"device\": \"" << device_ << "\", \"read_gb_per_s\": " << read_rate_ * 1e-9
      << ", \"figures\": [";
  const char* separator = "\n";
  for (const Figure& figure : figures_) {
    out << separator << "{\"name\": \"" << figure.name
        << "\", \"microseconds\": " << figure.seconds * 1e6
        << ", \"gb_per_s\": " << figure.bytes / figure.seconds * 1e-9
        << ", \"share\": " << figure.bytes / figure.seconds / read_rate_
        << ", \"tflop_per_s\": " << figure.flops / figure.seconds * 1e-12 << "}";
    separator = ",\n";
  }
  out << "\n]}\n";
  M2_REQUIRE(ErrorCode::kNotFound, out.good(), path, ": cannot be written");
}

double time_calls(Backend& backend, const std::function<void(int)>& call) {
  constexpr int kRounds = 7;
  using Clock = std::chrono::steady_clock;
  const auto round = [&](int calls) {
    const auto begin = Clock::now();
    for (int i = 0; i < calls; ++i) call(i);
    backend.synchronize();
    return std::chrono::duration<double>(Clock::now() - begin).count() / calls;
  };
  round(3);
  const int calls = std::clamp(static_cast<int>(0.02 / round(5)), 5, 400);
  std::vector<double> times;
  for (int i = 0; i < kRounds; ++i) times.push_back(round(calls));
  std::nth_element(times.begin(), times.begin() + kRounds / 2, times.end());
  return times[kRounds / 2];
}

double time_recorded(Backend& backend, const std::function<void(int)>& call) {
  static std::uint64_t next_key = 0;
  const std::vector<std::uint64_t> key = {++next_key};
  const double seconds = time_calls(backend, [&](int) {
    backend.run_step(key, [&] {
      for (int i = 0; i < kRecordedCalls; ++i) call(i);
    });
  });
  return seconds / kRecordedCalls;
}

}  // namespace m2::bench
