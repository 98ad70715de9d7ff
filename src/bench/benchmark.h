// Runs the points of a sweep and holds them against the limits of the machine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/benchmark_model.h"
#include "bench/workload.h"

namespace m2::bench {

struct BenchOptions {
  std::vector<std::int64_t> prefill_tokens = {512};
  std::vector<std::int64_t> decode_tokens = {128};
  std::vector<std::int64_t> batch_sizes = {1};  // of decoding
  std::vector<std::int64_t> contexts = {0};
  int repetitions = 5;
  std::function<void()> before_repetition = [] {};
  WorkloadOptions workload;
};

/// Prefill of one sequence and decoding of every batch, in every context. A length of 0 means
/// nothing of the kind.
[[nodiscard]] std::vector<BenchTest> tests_of(const BenchOptions& options);

/// One repetition, with the limits measured beside it.
struct Repetition {
  double seconds = 0.0;
  double read_rate = 0.0;      // bytes a second, the mean of just before and just after
  double multiply_rate = 0.0;  // operations a second, just after; 0: not known
};

struct BenchResult {
  BenchTest test;
  std::int64_t num_steps = 0;
  StepCost cost;                   // of all steps
  double experts_per_layer = 0.0;  // different ones that a step used, the mean
  double experts_expected = 0.0;   // if all were chosen equally often
  std::vector<Repetition> repetitions;
  std::string multiply_source;  // empty: the rate is not known

  [[nodiscard]] double tokens() const {
    return static_cast<double>(test.num_tokens * test.num_seqs);
  }
  // Medians over the repetitions.
  [[nodiscard]] double seconds() const;
  [[nodiscard]] double tokens_per_second() const { return tokens() / seconds(); }
  [[nodiscard]] double read_limit() const;
  /// Of the bytes that must be read over what the machine reads in the same time.
  [[nodiscard]] double read_share() const;
  /// Of the operations over what the machine multiplies in the same time; 0 where that is not
  /// known.
  [[nodiscard]] double multiply_limit() const;
  [[nodiscard]] double multiply_share() const;
};

/// `on_result` gets every result as soon as it is there.
std::vector<BenchResult> run_bench(BenchModel& subject, const BenchOptions& options,
                                   const std::function<void(const BenchResult&)>& on_result);

}  // namespace m2::bench
