// Times the CUDA backend at the published model's sizes and holds every figure against the read
// rate measured in the same run.
//
//   m2_cuda_bench [--json FILE] [--only experts|linear|route|attention|prefill] [--max-tokens N]
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "benches.h"
#include "cuda/limit_probe.h"

namespace {

struct Options {
  std::string only;
  std::string json;
  std::int64_t max_tokens = 8192;  // of the experts
};

void run(const Options& options) {
  using namespace m2;
  CudaBackend backend(0);
  const double rate = make_cuda_limit_probe(0)->read_rate();
  std::printf("%s: reads %.1f GB/s\n", backend.description().c_str(), rate * 1e-9);
  bench::Report report(backend.description(), rate);
  const auto wanted = [&](const char* name) {
    return options.only.empty() || options.only == name;
  };
  if (wanted("experts")) {
    std::vector<std::int64_t> counts = {1,   2,   4,   8,    16,   32,   64,
                                        128, 256, 512, 1024, 2048, 4096, 8192};
    std::erase_if(counts, [&](std::int64_t count) { return count > options.max_tokens; });
    for (const bench::WeightFormat& format : {bench::WeightFormat{.dtype = DType::kF8E4M3},
                                              {.dtype = DType::kBF16},
                                              {.block_format = BlockFormat::kInt4G128},
                                              {.block_format = BlockFormat::kInt4G32}}) {
      bench::bench_experts(backend, format, counts, report);
    }
  }
  for (const DType dtype : {DType::kF8E4M3, DType::kBF16}) {
    if (wanted("linear")) bench::bench_linear(backend, dtype, report);
  }
  if (wanted("prefill")) bench::bench_prefill(backend, report);
  if (wanted("route")) bench::bench_route(backend, report);
  if (wanted("attention")) {
    bench::bench_attention(backend, KvFormat::kBF16, report);
    bench::bench_attention(backend, KvFormat::kF8E4M3, report);
  }
  if (!options.json.empty()) report.write_json(options.json);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--only") options.only = argv[i + 1];
    if (option == "--json") options.json = argv[i + 1];
    if (option == "--max-tokens") options.max_tokens = std::atoll(argv[i + 1]);
  }
  try {
    run(options);
  } catch (const m2::Error& error) {
    std::fprintf(stderr, "m2_cuda_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
