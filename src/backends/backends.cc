#include "backends/backends.h"

#include "base/error.h"
#include "base/memory_info.h"
#include "cpu/cpu_backend.h"
#include "cpu/limit_probe.h"

#ifdef M2_HAS_CUDA
#include <charconv>
#include <optional>

#include "cuda/cuda_backend.h"
#include "cuda/devices.h"
#include "cuda/limit_probe.h"
#endif

namespace m2 {
namespace {

[[noreturn]] void fail_unknown(std::string_view device) {
  std::string names;
  for (const DeviceInfo& info : list_devices()) {
    names += (names.empty() ? "\"" : ", \"") + info.name + "\"";
  }
#ifdef M2_HAS_CUDA
  fail(ErrorCode::kUnsupported, "device \"", device, "\" is not there; this machine has ", names);
#else
  fail(ErrorCode::kUnsupported, "device \"", device,
       "\" is not there; this build has no CUDA, only ", names);
#endif
}

#ifdef M2_HAS_CUDA
// The index that "cuda" or "cuda:<index>" names.
std::optional<int> cuda_index(std::string_view device) {
  const auto devices = cuda::list_devices();
  if (device == "cuda" && !devices.empty()) return devices.front().index;
  constexpr std::string_view kPrefix = "cuda:";
  if (!device.starts_with(kPrefix)) return std::nullopt;
  int index = 0;
  const char* end = device.data() + device.size();
  const auto [stop, error] = std::from_chars(device.data() + kPrefix.size(), end, index);
  if (error != std::errc() || stop != end) return std::nullopt;
  for (const cuda::Device& known : devices) {
    if (known.index == index) return index;
  }
  return std::nullopt;
}
#endif

}  // namespace

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> devices;
#ifdef M2_HAS_CUDA
  for (const cuda::Device& device : cuda::list_devices()) {
    devices.push_back({.name = concat("cuda:", device.index),
                       .description = device.name,
                       .free_bytes = device.free_bytes});
  }
#endif
  devices.push_back({.name = "cpu", .description = "", .free_bytes = available_memory_bytes()});
  return devices;
}

std::unique_ptr<Backend> make_backend(std::string_view device, int num_threads,
                                      std::span<const int> cpus) {
  if (device == "cpu") return std::make_unique<CpuBackend>(num_threads, std::nullopt, cpus);
#ifdef M2_HAS_CUDA
  if (const auto index = cuda_index(device)) return std::make_unique<CudaBackend>(*index);
#endif
  fail_unknown(device);
}

std::unique_ptr<LimitProbe> make_limit_probe(std::string_view device, int num_threads,
                                             std::span<const int> cpus) {
  if (device == "cpu") return make_cpu_limit_probe(num_threads, cpus);
#ifdef M2_HAS_CUDA
  if (const auto index = cuda_index(device)) return make_cuda_limit_probe(*index);
#endif
  fail_unknown(device);
}

}  // namespace m2
