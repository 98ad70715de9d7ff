// The experts' weights as the kernels find them.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "cuda/runtime.h"
#include "ops/moe_experts.h"

namespace m2::cuda {

/// One expert's matrices in device memory.
struct ExpertPointers {
  const void* gate;         // [I, H]
  const void* up;           // [I, H]
  const void* down;         // [H, I]
  const float* gate_scale;  // F8 only
  const float* up_scale;
  const float* down_scale;
};

/// Device copies of the pointers of every layer's experts. A launch needs them all, and they never
/// change once a model is loaded; so a copy is kept for each array of experts that was seen, and
/// made again when the array holds other pointers.
class ExpertTables {
 public:
  /// [E] in device memory. Throws kUnsupported unless all experts are stored alike.
  [[nodiscard]] const ExpertPointers* find(std::span<const ExpertWeights> experts,
                                           const Stream& stream);

 private:
  struct Table {
    std::vector<ExpertPointers> host;
    DeviceMemory device;
  };

  std::map<const ExpertWeights*, Table> tables_;
};

}  // namespace m2::cuda
