// The forward pass of MiniMax-M2.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "m2/config.h"
#include "model/batch.h"
#include "model/head.h"
#include "model/kv_cache.h"
#include "model/look_ahead.h"
#include "model/placement.h"
#include "model/rope.h"
#include "model/stage.h"
#include "model/weights.h"

namespace m2 {

/// What a study wants to see of one forward pass. Recording needs sequences of equal length.
struct Study {
  bool hidden_states = false;
  bool router_logits = false;
  bool attentions = false;
};

/// Filled per layer, in float32. T = S * Q tokens in the order of the batch.
struct StudyOutputs {
  std::vector<Tensor> hidden_states;  // L + 1 of [T, H]: the embeddings, then every layer's output;
                                      // the last one after the final norm
  std::vector<Tensor> router_logits;  // L of [T, E], before sigmoid and bias
  std::vector<Tensor> attentions;     // L of [S, Nq, Q, C]
};

struct ForwardOptions {
  Study study;
  StudyOutputs* study_outputs = nullptr;
  FullyMasked fully_masked = FullyMasked::kZero;
  /// Optional 4-D mask in the host's memory, [S or 1, Nq or 1, Q, C] f32 or bool: see
  /// AttentionArgs::mask. The key ranges of the batch still apply.
  TensorView mask;
  /// In training: attention dropout and router jitter of the config act, drawn from this seed.
  std::optional<std::uint64_t> training_seed;
  /// Runs only the first layers; default: all. The final norm follows either way.
  std::optional<std::int64_t> num_layers;
};

/// The decoder: embedding, L layers, final norm, head. Owns the activations, which grow to the
/// largest batch seen and stay. One thread at a time.
class MiniMaxM2 {
 public:
  /// Every part's weights lie in the memory of its backend. Activations cross from one backend to
  /// the next where the placement changes.
  MiniMaxM2(const MiniMaxM2Config& config, std::shared_ptr<const ModelWeights> weights,
            Placement placement);
  /// All on one backend, which must live longer than the model.
  MiniMaxM2(const MiniMaxM2Config& config, std::shared_ptr<const ModelWeights> weights,
            Backend& backend);

  [[nodiscard]] const MiniMaxM2Config& config() const { return config_; }
  [[nodiscard]] const Placement& placement() const { return placement_; }
  [[nodiscard]] const RopeTable& rope() const { return rope_; }

  /// Appends the batch to the cache and returns the hidden states after the final norm,
  /// [T, H] f32 in the memory of the head's backend, valid until the next call. Throws
  /// kInvalidArgument for a token id outside [0, V).
  TensorView forward(const Batch& batch, KvCache& kv_cache, const ForwardOptions& options = {});

  /// Head of the chosen rows of the last forward: [rows, V] f32 in the host's memory, valid until
  /// the next call.
  TensorView logits(std::span<const std::int32_t> rows);
  /// forward() and the best logits of `rows`, which may be none: what choosing tokens mostly needs.
  TopLogits step(const Batch& batch, KvCache& kv_cache, std::span<const std::int32_t> rows,
                 const ForwardOptions& options = {});
  /// A whole row of the last of these calls, by its place in `rows`: [V] f32 in the host's memory,
  /// valid until the next call.
  TensorView logits_row(std::int64_t index);

 private:
  struct Pass;  // one forward: batch, cache, options, where it is

  void check_batch(const Batch& batch, const KvCache& kv_cache) const;
  Stage& stage_of(const std::shared_ptr<Backend>& backend);
  void load(const Batch& batch, const TensorView& mask);
  void embed(const Batch& batch, Stage& stage);
  void enter(Pass& pass, Stage& stage);
  [[nodiscard]] Pass begin(const Batch& batch, KvCache& kv_cache, const ForwardOptions& options);
  void run(Pass& pass);
  void run_layers(Pass& pass);
  [[nodiscard]] RmsNormArgs last_norm(const Pass& pass);
  [[nodiscard]] bool is_decode_step(const Pass& pass) const;
  void find_step_key(const Pass& pass);
  void decoder_layer(Pass& pass, std::size_t layer);
  void attention_block(const Pass& pass, std::size_t layer);
  void moe_block(const Pass& pass, std::size_t layer);
  [[nodiscard]] bool streams_experts(std::size_t layer) const;
  std::span<const ExpertWeights> experts_in_memory(const Stage& stage, std::size_t layer,
                                                   const TensorView& topk_ids);
  TensorView last_hidden_states(std::span<const std::int32_t> rows);
  void record_hidden_states(const Pass& pass, const TensorView& hidden_states);
  [[nodiscard]] Tensor new_attentions(const Pass& pass);
  [[nodiscard]] float eps() const { return static_cast<float>(config_.rms_norm_eps); }

  MiniMaxM2Config config_;
  std::shared_ptr<const ModelWeights> weights_;
  Placement placement_;
  std::int64_t id_;  // of no other model of the process
  RopeTable rope_;
  Activation activation_;
  std::vector<Stage> stages_;    // one for each backend of the placement
  Tensor cos_;                   // [T, R / 2], in the host's memory
  Tensor sin_;                   // [T, R / 2], in the host's memory
  std::int64_t num_tokens_ = 0;  // of the last forward
  std::vector<std::uint64_t> step_key_;
  LookAhead look_ahead_;
  Head head_;
};

}  // namespace m2
