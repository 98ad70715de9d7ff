// Speed of the tokenizer. M2_BENCH_TOKENIZER names a tokenizer.json, M2_BENCH_TEXT a text file
// (without it: source text made here). Reported: bytes of text per second on one thread.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "m2/tokenizer.h"

namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string tokenizer_path() {
  const char* path = std::getenv("M2_BENCH_TOKENIZER");
  return path != nullptr ? path : "models/tiny-agent/tokenizer.json";
}

const m2::Tokenizer& tokenizer() {
  static const m2::Tokenizer loaded = m2::Tokenizer::from_file(tokenizer_path());
  return loaded;
}

const std::string& text() {
  static const std::string loaded = [] {
    if (const char* path = std::getenv("M2_BENCH_TEXT")) return read_file(path);
    std::string source;
    for (int i = 0; source.size() < 1000000; ++i) {
      const std::string number = std::to_string(i);
      source += "  if (value_" + number + " > kLimit) return fail(\"too large: \", " + number +
                ");  // it's more than we've room for\n";
    }
    return source;
  }();
  return loaded;
}

void count_bytes(benchmark::State& state, size_t size) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(size));
}

void encode_ids(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().encode_ids(text()));
  count_bytes(state, text().size());
}
BENCHMARK(encode_ids)->Unit(benchmark::kMillisecond);

void encode_with_offsets(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().encode(text()));
  count_bytes(state, text().size());
}
BENCHMARK(encode_with_offsets)->Unit(benchmark::kMillisecond);

void encode_one_letter(benchmark::State& state) {
  const std::string letters(static_cast<size_t>(state.range(0)), 'a');
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().encode_ids(letters));
  count_bytes(state, letters.size());
}
BENCHMARK(encode_one_letter)->Arg(1000)->Arg(1000000)->Unit(benchmark::kMillisecond);

void decode(benchmark::State& state) {
  const std::vector<m2::TokenId> ids = tokenizer().encode_ids(text());
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().decode(ids));
  count_bytes(state, text().size());
}
BENCHMARK(decode)->Unit(benchmark::kMillisecond);

void detokenize_stream(benchmark::State& state) {
  const std::vector<m2::TokenId> ids = tokenizer().encode_ids(text());
  for (auto _ : state) {
    m2::Detokenizer detokenizer(tokenizer());
    for (const m2::TokenId id : ids) benchmark::DoNotOptimize(detokenizer.push(id));
    benchmark::DoNotOptimize(detokenizer.flush());
  }
  count_bytes(state, text().size());
}
BENCHMARK(detokenize_stream)->Unit(benchmark::kMillisecond);

void load(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(m2::Tokenizer::from_file(tokenizer_path()));
  }
}
BENCHMARK(load)->Unit(benchmark::kMillisecond);

}  // namespace
