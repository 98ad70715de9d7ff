// The limits of a CUDA device.
#pragma once

#include <memory>

#include "ops/limit_probe.h"

namespace m2 {

/// Throws kUnsupported when there is no such device, kResourceExhausted when it is nearly full.
[[nodiscard]] std::unique_ptr<LimitProbe> make_cuda_limit_probe(int device);

}  // namespace m2
