// The weights of a model, found in a checkpoint by name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "m2/config.h"
#include "m2/tensor.h"
#include "model/load_report.h"
#include "ops/moe_experts.h"
#include "quant/weight_view.h"

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

class ExpertCache;

/// Views into the checkpoint, which stays mapped as long as this object or a copy of it lives.
struct ModelWeights {
  WeightView embed_tokens;           // [V, H]
  WeightView lm_head;                // [V, H]; the embedding itself when tied
  TensorView norm;                   // [H] f32
  std::vector<LayerWeights> layers;  // [L]
  bool tied = false;

  /// The types as which the model's owner sees tensors whose memory has another one, by address:
  /// vectors, which are float32 in memory, and matrices that were asked for as float32 and stay in
  /// the file's narrower type, which has the same values. save_weights writes these types.
  std::unordered_map<const void*, DType> logical_dtypes;

  /// Keeps alive what the views point at: the mapped files and the converted vectors.
  std::vector<std::shared_ptr<const void>> owners;

  /// Of a model that is larger than memory; else null.
  std::shared_ptr<ExpertCache> expert_cache;
};

/// Called with the tensors done and their number.
using LoadProgress = std::function<void(std::int64_t done, std::int64_t total)>;

struct WeightLoadOptions {
  /// F32, F16 or BF16: what weights become that are not FP8; a float32 router stays. Absent: the
  /// file's types.
  std::optional<DType> dtype;
  bool dequantize = false;  ///< FP8 weights become `dtype`, else BF16
  bool strict = false;      ///< the router becomes `dtype` too where the reference does so
  bool initialize_missing = false;
  bool initialize_mismatched = false;
  std::uint64_t seed = 0;  ///< of what is initialised
  bool head = true;        ///< false: the bare model; its lm_head is the embedding
};

/// Finds every weight of `config` under hub names (per-expert w1, w2, w3) or internal names (fused
/// experts), in any mixture, with or without the leading "model.". Nothing but the vectors and what
/// the options change is copied, tensor by tensor. Missing and mismatched tensors throw
/// kCorruptFile naming the first few (the report is complete by then) unless they are to be
/// initialised; unexpected ones are only reported.
ModelWeights load_weights(const MiniMaxM2Config& config,
                          std::shared_ptr<const Checkpoint> checkpoint,
                          LoadReport* report = nullptr, const LoadProgress& progress = {},
                          const WeightLoadOptions& options = {});

/// Weights of a fresh model: normal(0, initializer_range), norms 1, correction bias 0, the
/// embedding of pad_token_id 0. A number depends on seed, tensor and position alone.
ModelWeights random_weights(const MiniMaxM2Config& config, DType dtype, std::uint64_t seed);

}  // namespace m2
