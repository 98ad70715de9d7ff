// The library form of the forward pass: the reference's arguments in, its outputs out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "m2/modeling.h"
#include "model/forward_plan.h"
#include "model/minimax_m2.h"

namespace m2 {

/// A model without files: config, weights and decoder, on the backends of its placement.
/// One thread at a time.
class CausalLm {
 public:
  /// Throws kInvalidArgument for an attn_implementation other than "eager" and "sdpa", and what
  /// MiniMaxM2 throws.
  CausalLm(const MiniMaxM2Config& config, std::shared_ptr<const ModelWeights> weights,
           const Placement& placement, const std::string& attn_implementation = "sdpa");

  [[nodiscard]] const MiniMaxM2Config& config() const { return config_; }
  /// num_hidden_layers (lowered: only the first layers run), use_cache and the output flags act
  /// from the next call on; everything else was read at construction.
  [[nodiscard]] MiniMaxM2Config& config() { return config_; }
  [[nodiscard]] MiniMaxM2& decoder() { return decoder_; }
  [[nodiscard]] const ModelWeights& weights() const { return *weights_; }
  [[nodiscard]] bool eager() const { return eager_; }
  /// From the next call on; throws as the constructor does.
  void set_attn_implementation(const std::string& name);

  /// The bare model. Throws kInvalidArgument for arguments that do not fit.
  MoeModelOutputWithPast forward_model(const ForwardInputs& inputs);
  /// The model with its head; logits of the kept positions only.
  MoeCausalLMOutputWithPast forward(const ForwardInputs& inputs);

  void train(bool mode) { training_ = mode; }
  [[nodiscard]] bool training() const { return training_; }
  /// Where the noise of training starts; every forward in training mode goes on from there.
  void manual_seed(std::uint64_t seed);

 private:
  struct Flags;  // the output flags of a call
  struct Call;   // what a call computes and has computed

  [[nodiscard]] Flags resolve_flags(const ForwardInputs& inputs) const;
  [[nodiscard]] Call prepare(const ForwardInputs& inputs) const;
  void execute(Call& call);
  [[nodiscard]] std::int64_t num_layers() const;
  [[nodiscard]] std::optional<std::uint64_t> next_training_seed();
  Tensor kept_logits(const Call& call, std::span<const std::int64_t> positions);

  MiniMaxM2Config config_;
  std::shared_ptr<const ModelWeights> weights_;
  MiniMaxM2 decoder_;
  bool eager_;
  float router_aux_loss_coef_;
  bool training_ = false;
  std::uint64_t seed_ = 0;
  std::uint64_t num_training_forwards_ = 0;  // since manual_seed
  Batch batch_;                              // reused from call to call
};

}  // namespace m2
