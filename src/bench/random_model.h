// Models of any width and depth that exist only to be measured.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/weight_format.h"
#include "model/weights.h"
#include "ops/backend.h"

namespace m2::bench {

/// Bytes of the weights that make_random_model makes.
[[nodiscard]] std::int64_t random_model_bytes(const MiniMaxM2Config& config,
                                              const ModelFormats& formats);

/// Weights in the backend's memory whose products keep the size of their input, drawn straight in
/// their formats; the norms are 1 and the router's bias is 0. Inputs that differ are routed to
/// different experts, all about equally often.
[[nodiscard]] std::shared_ptr<const ModelWeights> make_random_model(const MiniMaxM2Config& config,
                                                                    const ModelFormats& formats,
                                                                    Backend& backend);

}  // namespace m2::bench
