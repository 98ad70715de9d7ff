// Makes the backend of a device by its name, and lists the devices.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/backend.h"
#include "ops/limit_probe.h"

namespace m2 {

struct DeviceInfo {
  std::string name;             // what make_backend takes: "cpu", "cuda:0"
  std::string description;      // "NVIDIA H200"; empty for the processor
  std::int64_t free_bytes = 0;  // now; 0 when it is not known
};

/// The accelerators that this build and machine have, then "cpu".
[[nodiscard]] std::vector<DeviceInfo> list_devices();

/// "cpu", "cuda" (the first one) or "cuda:<index>". Throws kUnsupported for a device that this
/// build or machine does not have, naming those there are. num_threads and cpus are for "cpu", as
/// in ThreadPool.
[[nodiscard]] std::unique_ptr<Backend> make_backend(std::string_view device, int num_threads,
                                                    std::span<const int> cpus = {});

/// Of the device that make_backend makes with the same arguments; throws what it throws.
[[nodiscard]] std::unique_ptr<LimitProbe> make_limit_probe(std::string_view device, int num_threads,
                                                           std::span<const int> cpus = {});

}  // namespace m2
