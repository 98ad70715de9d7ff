// From weights in the host's memory to a model on its devices.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "api/model_impl.h"
#include "checkpoint/checkpoint.h"
#include "model/device_plan.h"

namespace m2 {

struct BuildOptions {
  DeviceMap device_map;
  std::string attn_implementation = "sdpa";
  int num_threads = 0;
  std::vector<int> cpus;
  /// See FromPretrainedOptions; acts where `checkpoint` holds the weights.
  std::string expert_cache = "auto";
  std::shared_ptr<const Checkpoint> checkpoint;
};

struct BuiltModel {
  std::shared_ptr<MiniMaxM2Model::Impl> impl;
  DevicePlan plan;
};

/// Plans, makes the backends, places the weights and has those of the processor read ahead.
BuiltModel build_model(const MiniMaxM2Config& config, std::shared_ptr<const ModelWeights> weights,
                       const BuildOptions& options);

}  // namespace m2
