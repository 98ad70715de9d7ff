// Times the CUDA backend at the published model's sizes and holds every figure against the read
// rate measured in the same run.
//
//   m2_cuda_bench [--json FILE] [--only experts|int4|linear|route|attention|prefill]
#include <cstdio>
#include <string>

#include "base/error.h"
#include "benches.h"
#include "device_memory.h"

namespace {

void run(const std::string& only, const std::string& json) {
  using namespace m2;
  CudaBackend backend(0);
  const double rate = bench::measure_read_rate(std::size_t{8} << 30U);
  std::printf("%s: reads %.1f GB/s\n", backend.description().c_str(), rate * 1e-9);
  bench::Report report(backend.description(), rate);
  const auto wanted = [&](const char* name) { return only.empty() || only == name; };
  for (const DType dtype : {DType::kF8E4M3, DType::kBF16}) {
    if (wanted("experts")) bench::bench_experts(backend, dtype, report);
    if (wanted("linear")) bench::bench_linear(backend, dtype, report);
  }
  for (const BlockFormat format : {BlockFormat::kInt4G128, BlockFormat::kInt4G32}) {
    if (wanted("int4")) bench::bench_int4_experts(backend, format, report);
  }
  if (wanted("prefill")) bench::bench_prefill(backend, report);
  if (wanted("route")) bench::bench_route(backend, report);
  if (wanted("attention")) {
    bench::bench_attention(backend, KvFormat::kBF16, report);
    bench::bench_attention(backend, KvFormat::kF8E4M3, report);
  }
  if (!json.empty()) report.write_json(json);
}

}  // namespace

int main(int argc, char** argv) {
  std::string only;
  std::string json;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--only") only = argv[i + 1];
    if (option == "--json") json = argv[i + 1];
  }
  try {
    run(only, json);
  } catch (const m2::Error& error) {
    std::fprintf(stderr, "m2_cuda_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
