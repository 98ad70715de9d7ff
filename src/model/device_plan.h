// Which device holds and runs which module.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "m2/modeling.h"
#include "model/weights.h"

namespace m2 {

/// Modules that are placed as a whole, in the order in which they are placed.
struct ModuleSize {
  std::string name;
  std::int64_t bytes = 0;
  /// Of a layer: what its module ".mlp" has of these: router, experts and their norm. A map of
  /// modules may place it elsewhere; policies place whole layers.
  std::int64_t mlp_bytes = 0;
  /// What a GPU needs beyond these, because it stores a matrix as BF16; mlp_widened of it for mlp.
  std::int64_t widened = 0;
  std::int64_t mlp_widened = 0;
};

/// model.embed_tokens, model.layers.0 .., lm_head (the final norm counted with it), by the bytes of
/// loaded weights. A tied head has none of its own.
std::vector<ModuleSize> module_sizes(const ModelWeights& weights);
/// The same from the config alone, as estimate_bytes counts.
std::vector<ModuleSize> module_sizes(const MiniMaxM2Config& config, DType dtype);

struct DeviceMemory {
  std::string name;  // "cuda:0"
  std::int64_t free_bytes = 0;
};

/// What a machine has.
struct DeviceInventory {
  std::vector<DeviceMemory> gpus;
  std::int64_t host_bytes = 0;  // free; 0: unknown, then the host takes everything
};

struct DevicePlan {
  std::map<std::string, std::string> devices;  // module, model.norm too, to "cpu", "cuda:N", "disk"
  std::map<std::string, std::int64_t> bytes;   // of weights on each device
  std::string report;                          // a line for each device

  /// A layer's ".mlp" is where the layer is unless it was placed by its own name.
  [[nodiscard]] const std::string& device_of(const std::string& module) const;
};

/// Places whole modules in their order, each on the first device from the current one on that has
/// room: GPUs, then the host, then disk; what was left is never gone back to. A device may be
/// filled to map.max_memory, else to nine tenths of what is free. "auto" and "balanced" spread a
/// model over several GPUs evenly (as accelerate: a share of the model and 1.25 of its largest
/// module each, the last one whatever is left); "balanced_low_0" keeps the first as free as
/// possible. `tied`: the head goes where the embedding is. Nothing is streamed between devices, so
/// no room is kept for it. Throws kInvalidArgument for names that do not exist, kUnsupported for
/// devices that the machine does not have.
///
/// Throws kResourceExhausted, saying what can be done, where a map by names, or of one device, puts
/// more on a GPU than it has free.
DevicePlan plan_devices(const std::vector<ModuleSize>& modules, const DeviceMap& map,
                        const DeviceInventory& inventory, bool tied);

}  // namespace m2
