// What CUDA devices there are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace m2::cuda {

struct Device {
  int index = 0;     // of "cuda:<index>"
  std::string name;  // "NVIDIA H200"
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;  // now
};

/// Every device that can run this build's kernels; none where there is no driver.
[[nodiscard]] std::vector<Device> list_devices();

}  // namespace m2::cuda
