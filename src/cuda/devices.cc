#include "cuda/devices.h"

#include "cuda/runtime.h"

namespace m2::cuda {

std::vector<Device> list_devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    return {};
  }
  int current = 0;
  if (count > 0) require(cudaGetDevice(&current), "ask for the current device");
  std::vector<Device> devices;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    require(cudaGetDeviceProperties(&properties, index), "ask for a device's properties");
    if (properties.major < 8) continue;  // the oldest architecture that is built for
    std::size_t free_bytes = 0;
    std::size_t total_bytes = 0;
    require(cudaSetDevice(index), "select a device");
    require(cudaMemGetInfo(&free_bytes, &total_bytes), "ask for a device's memory");
    devices.push_back({.index = index,
                       .name = properties.name,
                       .total_bytes = static_cast<std::int64_t>(total_bytes),
                       .free_bytes = static_cast<std::int64_t>(free_bytes)});
  }
  if (count > 0) require(cudaSetDevice(current), "select a device");
  return devices;
}

}  // namespace m2::cuda
