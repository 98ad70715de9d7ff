// What the engine gains from batches and known prefixes, for every type of the KV cache. Everything
// is measured in turns; the medians and their ratios are printed.
//
// m2_engine_bench [model directory]
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <vector>

#include "engine/engine.h"
#include "service/loaded_model.h"

namespace m2::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class EngineBench {
 public:
  EngineBench(LoadedModel& loaded, KvFormat format)
      : vocab_size_(loaded.config().vocab_size),
        engine_(loaded.model(), {.kv_cache = {.num_tokens = 16384, .format = format}}) {}

  /// Seconds to the first token of a prompt; the same salt again finds it computed.
  double first_token(std::int64_t num_tokens, std::int64_t salt) {
    const Clock::time_point start = Clock::now();
    (void)engine_.submit(request(num_tokens, salt, 1));
    while (!engine_.idle()) (void)engine_.step();
    return seconds_since(start);
  }

  /// Tokens a second of `num_seqs` requests that decode side by side.
  double decode(std::size_t num_seqs) {
    constexpr std::size_t kTokens = 60;
    for (std::size_t i = 0; i < num_seqs; ++i) (void)engine_.submit(request(64, ++salt_, 72));
    for (int step = 0; step < 6; ++step) (void)engine_.step();  // prefill, and the pace
    std::size_t num_tokens = 0;
    const Clock::time_point start = Clock::now();
    while (num_tokens < num_seqs * kTokens) num_tokens += engine_.step().size();
    const double rate = static_cast<double>(num_tokens) / seconds_since(start);
    while (!engine_.idle()) (void)engine_.step();
    return rate;
  }

 private:
  [[nodiscard]] EngineRequest request(std::int64_t num_tokens, std::int64_t salt,
                                      std::int64_t new_tokens) const {
    EngineRequest result;
    for (std::int64_t i = 0; i < num_tokens; ++i) {
      result.prompt_ids.push_back(static_cast<std::int32_t>((i * 37 + salt * 101) % vocab_size_));
    }
    result.config.max_length = num_tokens + new_tokens;
    return result;
  }

  std::int64_t vocab_size_;
  std::int64_t salt_ = 1000;
  Engine engine_;
};

void report(const char* name, EngineBench& bench) {
  constexpr int kRepetitions = 9;
  std::vector<double> cold;
  std::vector<double> warm;
  std::vector<double> one;
  std::vector<double> eight;
  for (int i = 0; i < kRepetitions; ++i) {
    cold.push_back(bench.first_token(2048, i));
    warm.push_back(bench.first_token(2048, i));
    one.push_back(bench.decode(1));
    eight.push_back(bench.decode(8));
  }
  std::printf(
      "%-8s  first token of 2,048: %.1f ms, cached %.1f ms (%.1fx)  "
      "decode: %.0f tokens/s, batch 8 %.0f (%.2fx)\n",
      name, median(cold) * 1e3, median(warm) * 1e3, median(cold) / median(warm), median(one),
      median(eight), median(eight) / median(one));
}

}  // namespace
}  // namespace m2::bench

int main(int argc, char** argv) {
  m2::LoadedModel loaded(argc > 1 ? argv[1] : "models/tiny-agent", {});
  constexpr std::array kFormats = {std::pair("float32", m2::KvFormat::kF32),
                                   std::pair("bfloat16", m2::KvFormat::kBF16),
                                   std::pair("int8", m2::KvFormat::kInt8)};
  for (const auto& [name, format] : kFormats) {
    m2::bench::EngineBench bench(loaded, format);
    m2::bench::report(name, bench);
  }
  return 0;
}
