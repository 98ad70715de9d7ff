// The limits of the host's processor.
#pragma once

#include <memory>
#include <span>

#include "ops/limit_probe.h"

namespace m2 {

/// Threads and instruction set as those of CpuBackend(num_threads, nullopt, cpus).
[[nodiscard]] std::unique_ptr<LimitProbe> make_cpu_limit_probe(int num_threads,
                                                               std::span<const int> cpus);

}  // namespace m2
