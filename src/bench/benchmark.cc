#include "bench/benchmark.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/error.h"

namespace m2::bench {
namespace {

using Clock = std::chrono::steady_clock;

double median(std::vector<double> values) {
  M2_CHECK(!values.empty(), "a median of nothing");
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
}

double median_of(const std::vector<Repetition>& repetitions,
                 const std::function<double(const Repetition&)>& value) {
  std::vector<double> values;
  std::ranges::transform(repetitions, std::back_inserter(values), value);
  return median(std::move(values));
}

// If every expert were equally likely, independently for every token.
double expected_experts(const MiniMaxM2Config& config, double num_tokens) {
  const auto all = static_cast<double>(config.num_local_experts);
  const double chosen = static_cast<double>(config.num_experts_per_tok) / all;
  return all * (1.0 - std::pow(1.0 - chosen, num_tokens));
}

BenchResult run_test(BenchModel& subject, const BenchTest& test, const BenchOptions& options,
                     LimitProbe& probe) {
  Workload workload(subject.model(), test, options.workload);
  const MiniMaxM2Config& config = subject.model().config();
  const CostModel costs(config, subject.weights(), options.workload.kv_format);
  ExpertCounter counter(subject.model(), subject.weights());
  BenchResult result = {.test = test, .num_steps = workload.num_steps()};
  // The first run warms up and counts.
  for (const Step& step : workload.count(counter)) {
    const auto uses = static_cast<double>(workload.num_steps() * config.num_hidden_layers);
    result.cost += costs.cost(step);
    result.experts_per_layer += static_cast<double>(step.experts_used) / uses;
    result.experts_expected +=
        expected_experts(config, static_cast<double>(step.num_seqs * step.num_tokens)) /
        static_cast<double>(workload.num_steps());
  }
  double before = probe.read_rate();
  for (int i = 0; i < options.repetitions; ++i) {
    options.before_repetition();
    const auto begin = Clock::now();
    workload.run();
    const std::chrono::duration<double> seconds = Clock::now() - begin;
    const double after = probe.read_rate();
    const auto multiply = probe.multiply_rate(subject.multiply_kind());
    if (multiply) result.multiply_source = multiply->source;
    result.repetitions.push_back({seconds.count(), (before + after) / 2.0,
                                  multiply ? multiply->operations_per_second : 0.0});
    before = after;
  }
  return result;
}

}  // namespace

std::vector<BenchTest> tests_of(const BenchOptions& options) {
  std::vector<BenchTest> tests;
  for (const std::int64_t context : options.contexts) {
    for (const std::int64_t tokens : options.prefill_tokens) {
      if (tokens > 0) tests.push_back({BenchTest::Kind::kPrefill, tokens, 1, context});
    }
    for (const std::int64_t tokens : options.decode_tokens) {
      for (const std::int64_t batch : options.batch_sizes) {
        if (tokens > 0) tests.push_back({BenchTest::Kind::kDecode, tokens, batch, context});
      }
    }
  }
  return tests;
}

double BenchResult::seconds() const {
  return median_of(repetitions, [](const Repetition& r) { return r.seconds; });
}

double BenchResult::read_limit() const {
  return median_of(repetitions, [](const Repetition& r) { return r.read_rate; });
}

double BenchResult::read_share() const {
  return median_of(repetitions,
                   [&](const Repetition& r) { return cost.bytes() / r.seconds / r.read_rate; });
}

double BenchResult::multiply_limit() const {
  return median_of(repetitions, [](const Repetition& r) { return r.multiply_rate; });
}

double BenchResult::multiply_share() const {
  if (multiply_source.empty()) return 0.0;
  return median_of(repetitions, [&](const Repetition& r) {
    return cost.operations / r.seconds / r.multiply_rate;
  });
}

std::vector<BenchResult> run_bench(BenchModel& subject, const BenchOptions& options,
                                   const std::function<void(const BenchResult&)>& on_result) {
  const auto probe = subject.make_probe();
  std::vector<BenchResult> results;
  for (const BenchTest& test : tests_of(options)) {
    on_result(results.emplace_back(run_test(subject, test, options, *probe)));
  }
  return results;
}

}  // namespace m2::bench
