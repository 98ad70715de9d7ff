// The weights of a model, found in a checkpoint by name.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "m2/config.h"
#include "ops/moe_experts.h"
#include "quant/weight_view.h"
#include "m2/tensor.h"

namespace m2 {

/// One decoder layer. Matrices stay in the file's bytes and type; vectors are float32.
struct LayerWeights {
  TensorView input_norm;               // [H] f32
  TensorView post_attention_norm;      // [H] f32
  TensorView q_norm;                   // [Nq * D] f32
  TensorView k_norm;                   // [Nkv * D] f32
  WeightView q;                        // [Nq * D, H]
  WeightView k;                        // [Nkv * D, H]
  WeightView v;                        // [Nkv * D, H]
  WeightView attn_out;                 // [H, Nq * D]
  WeightView gate;                     // [E, H], the router
  TensorView correction_bias;          // [E] f32
  std::vector<ExpertWeights> experts;  // [E]
};

/// Views into the checkpoint, which stays mapped as long as this object or a copy of it lives.
struct ModelWeights {
  WeightView embed_tokens;           // [V, H]
  WeightView lm_head;                // [V, H]; the embedding itself when tied
  TensorView norm;                   // [H] f32
  std::vector<LayerWeights> layers;  // [L]
  bool tied = false;

  /// Keeps alive what the views point at: the mapped files and the converted vectors.
  std::vector<std::shared_ptr<const void>> owners;
};

struct MismatchedTensor {
  std::string name;
  Shape file_shape;
  Shape model_shape;
};

/// What a load found. Names are the hub's, followed by the internal one where they differ.
struct LoadReport {
  std::vector<std::string> missing;
  std::vector<std::string> unexpected;
  std::vector<MismatchedTensor> mismatched;
  std::vector<std::string> warnings;
  std::int64_t num_tensors = 0;                  ///< used by the model
  std::map<DType, std::int64_t> bytes_by_dtype;  ///< of the used tensors, as stored
  std::int64_t converted_tensors = 0;            ///< vectors that were converted to float32
  std::int64_t converted_bytes = 0;
  std::int64_t copied_tensors = 0;  ///< not aligned in the file, so copied into memory
  std::int64_t copied_bytes = 0;
};

/// Called with the tensors done and their number.
using LoadProgress = std::function<void(std::int64_t done, std::int64_t total)>;

/// Finds every weight of `config` under hub names (per-expert w1, w2, w3) or internal names (fused
/// experts), in any mixture, with or without the leading "model.". Nothing but the vectors is
/// copied. Missing and mismatched tensors throw kCorruptFile naming the first few (the report is
/// complete by then); unexpected ones are only reported.
ModelWeights load_weights(const MiniMaxM2Config& config,
                          std::shared_ptr<const Checkpoint> checkpoint,
                          LoadReport* report = nullptr, const LoadProgress& progress = {});

}  // namespace m2
