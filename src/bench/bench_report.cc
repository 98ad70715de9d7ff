#include "bench/bench_report.h"

#include <array>
#include <cstdio>

#include "base/memory_info.h"
#include "model/inspect.h"

namespace m2::bench {
namespace {

using Json = nlohmann::ordered_json;

std::string test_name(const BenchTest& test) {
  const bool decode = test.kind == BenchTest::Kind::kDecode;
  std::string name = (decode ? "decode " : "prefill ") + std::to_string(test.num_tokens);
  if (decode) name += " x " + std::to_string(test.num_seqs);
  if (test.context > 0) name += " @ " + std::to_string(test.context);
  return name;
}

std::string percent(double share) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.1f%%", 100.0 * share);
  return text.data();
}

Json result_json(const BenchResult& result) {
  const double seconds = result.seconds();
  Json json = {{"test", test_name(result.test)},
               {"kind", result.test.kind == BenchTest::Kind::kDecode ? "decode" : "prefill"},
               {"num_tokens", result.test.num_tokens},
               {"num_seqs", result.test.num_seqs},
               {"context", result.test.context},
               {"num_steps", result.num_steps},
               {"seconds", seconds},
               {"tokens_per_second", result.tokens_per_second()},
               {"weight_bytes", result.cost.weight_bytes},
               {"kv_bytes", result.cost.kv_bytes},
               {"operations", result.cost.operations},
               {"experts_per_layer", result.experts_per_layer},
               {"experts_expected", result.experts_expected},
               {"bytes_per_second", result.cost.bytes() / seconds},
               {"read_limit", result.read_limit()},
               {"read_share", result.read_share()},
               {"operations_per_second", result.cost.operations / seconds}};
  if (!result.multiply_source.empty()) {
    json["multiply_limit"] = result.multiply_limit();
    json["multiply_limit_source"] = result.multiply_source;
    json["multiply_share"] = result.multiply_share();
  }
  for (const Repetition& repetition : result.repetitions) {
    json["repetitions"].push_back({{"seconds", repetition.seconds},
                                   {"read_rate", repetition.read_rate},
                                   {"multiply_rate", repetition.multiply_rate}});
  }
  return json;
}

}  // namespace

Json bench_json(BenchModel& subject, std::span<const BenchResult> results) {
  const MiniMaxM2Config& config = subject.model().config();
  Json json = {{"device", subject.model().placement().head->description()},
               {"formats", subject.formats()},
               {"num_layers", config.num_hidden_layers},
               {"hidden_size", config.hidden_size},
               {"num_experts", config.num_local_experts},
               {"vocab_size", config.vocab_size},
               {"weight_bytes", stored_bytes(subject.weights()).total()},
               {"peak_memory_bytes", peak_resident_bytes()}};
  for (const BenchResult& result : results) json["results"].push_back(result_json(result));
  return json;
}

std::string table_head(BenchModel& subject) {
  const MiniMaxM2Config& config = subject.model().config();
  std::array<char, 512> text;
  std::snprintf(text.data(), text.size(),
                "%s; %lld layers of width %lld, %lld experts; %s; %.2f GB of weights\n"
                "%-24s %12s %12s %8s %10s %9s %10s %9s %8s\n",
                subject.model().placement().head->description().c_str(),
                static_cast<long long>(config.num_hidden_layers),
                static_cast<long long>(config.hidden_size),
                static_cast<long long>(config.num_local_experts), subject.formats().c_str(),
                static_cast<double>(stored_bytes(subject.weights()).total()) * 1e-9, "test",
                "tokens/s", "ms/step", "+-%", "GB/s", "of read", "GOP/s", "of mult.", "experts");
  return text.data();
}

std::string table_row(const BenchResult& result) {
  double least = result.repetitions.front().seconds;
  double most = least;
  for (const Repetition& repetition : result.repetitions) {
    least = std::min(least, repetition.seconds);
    most = std::max(most, repetition.seconds);
  }
  const double seconds = result.seconds();
  std::array<char, 256> text;
  std::snprintf(text.data(), text.size(), "%-24s %12.2f %12.3f %8.1f %10.2f %9s %10.1f %9s %8.1f\n",
                test_name(result.test).c_str(), result.tokens_per_second(),
                1e3 * seconds / static_cast<double>(result.num_steps),
                50.0 * (most - least) / seconds, result.cost.bytes() / seconds * 1e-9,
                percent(result.read_share()).c_str(), result.cost.operations / seconds * 1e-9,
                result.multiply_source.empty() ? "-" : percent(result.multiply_share()).c_str(),
                result.experts_per_layer);
  return text.data();
}

}  // namespace m2::bench
