// What is behind MiniMaxM2Model and MiniMaxM2ForCausalLM.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "m2/generation_config.h"
#include "m2/modeling.h"
#include "model/causal_lm.h"
#include "model/weights.h"

namespace m2 {

/// The bare model and the causal LM share it: the former is the latter without its head.
struct MiniMaxM2Model::Impl {
  std::unique_ptr<CausalLm> causal_lm;  // never null; replaced when the vocabulary is resized
  GenerationConfig generation_config;
  std::map<std::string, std::string> device_map;  // module to device, as in LoadingInfo
  /// In the host's memory, mostly mapped files: what is saved and resized.
  std::shared_ptr<const ModelWeights> host_weights;
};

}  // namespace m2
