#include "api/build_model.h"

#include <map>
#include <utility>

#include "backends/backends.h"
#include "base/mapped_file.h"
#include "base/memory_info.h"
#include "model/make_expert_cache.h"
#include "model/place_weights.h"

namespace m2 {
namespace {

// Accelerators are asked for only where the map may use them: asking wakes them.
DeviceInventory inventory(const DeviceMap& map) {
  DeviceInventory result;
  result.host_bytes = available_memory_bytes();
  const bool host_only = (map.policy.empty() || map.policy == "cpu") && map.modules.empty();
  if (host_only) return result;
  for (const DeviceInfo& device : list_devices()) {
    if (device.name != "cpu") result.gpus.push_back({device.name, device.free_bytes});
  }
  return result;
}

Placement make_placement(const DevicePlan& plan, std::size_t num_layers,
                         const BuildOptions& options) {
  std::map<std::string, std::shared_ptr<Backend>> backends;
  const auto backend_of = [&](const std::string& module) {
    const std::string& device = plan.device_of(module);
    // What stays on disk is read by the processor when it is used.
    const std::string name = device == "disk" ? "cpu" : device;
    auto& backend = backends[name];
    if (backend == nullptr) backend = make_backend(name, options.num_threads, options.cpus);
    return backend;
  };
  Placement placement;
  placement.embedding = backend_of("model.embed_tokens");
  for (std::size_t i = 0; i < num_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i);
    placement.layers.push_back(backend_of(layer));
    placement.mlps.push_back(backend_of(layer + ".mlp"));
  }
  placement.head = backend_of("lm_head");
  return placement;
}

void prefetch(const WeightView& view) {
  prefetch_memory(view.data, static_cast<std::size_t>(view.num_bytes()));
}

// Only what the plan puts into the processor's memory, and only where all of it fits.
void prefetch_host_modules(const ModelWeights& weights, const DevicePlan& plan) {
  const auto bytes = plan.bytes.find("cpu");
  if (bytes == plan.bytes.end() || bytes->second > available_memory_bytes() / 10 * 9) return;
  const auto on_host = [&](const std::string& module) { return plan.device_of(module) == "cpu"; };
  if (on_host("model.embed_tokens")) prefetch(weights.embed_tokens);
  if (on_host("lm_head")) prefetch(weights.lm_head);
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    const std::string name = "model.layers." + std::to_string(i);
    if (on_host(name)) {
      for (const auto* matrix : {&layer.q, &layer.k, &layer.v, &layer.attn_out}) prefetch(*matrix);
    }
    if (!on_host(name + ".mlp")) continue;
    prefetch(layer.gate);
    for (const ExpertWeights& expert : layer.experts) {
      for (const auto* matrix : {&expert.gate, &expert.up, &expert.down}) prefetch(*matrix);
    }
  }
}

}  // namespace

BuiltModel build_model(const MiniMaxM2Config& config, std::shared_ptr<const ModelWeights> weights,
                       const BuildOptions& options) {
  BuiltModel built;
  built.plan = plan_devices(module_sizes(*weights), options.device_map,
                            inventory(options.device_map), weights->tied);
  const Placement placement = make_placement(built.plan, weights->layers.size(), options);
  prefetch_host_modules(*weights, built.plan);
  built.impl = std::make_shared<MiniMaxM2Model::Impl>();
  auto placed = std::make_shared<ModelWeights>(place_weights(*weights, placement));
  if (options.checkpoint != nullptr) {
    placed->expert_cache =
        make_expert_cache(*placed, placement, options.expert_cache, options.checkpoint);
  }
  built.impl->causal_lm =
      std::make_unique<CausalLm>(config, std::move(placed), placement, options.attn_implementation);
  built.impl->device_map = built.plan.devices;
  built.impl->host_weights = std::move(weights);
  return built;
}

}  // namespace m2
