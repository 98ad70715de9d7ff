// The operations on an NVIDIA device.
#pragma once

#include <memory>

#include "ops/backend.h"

namespace m2 {

/// Work goes to one stream of the device, in order; operations return before it is done.
/// Activations are float32 at the border. Weights in F16 and F8_E4M3 are multiplied with
/// activations of f16, those in BF16 with nearly float32 accuracy (cuda/token_rows.cuh). Every
/// output depends on its own token (and the keys that it sees) only, but for the last bits of up to
/// eight tokens: the choices of all of them decide in which order experts are added. It repeats bit
/// for bit for the same inputs.
///
/// Blocks of the kernels of experts wait for each other, so all of a kernel's must run at once: two
/// backends of one process must not work on the same device at the same time.
class CudaBackend final : public Backend {
 public:
  /// Throws kUnsupported when there is no such device, or one that this build has no code for.
  explicit CudaBackend(int device);
  ~CudaBackend() override;

  [[nodiscard]] std::string description() const override;

  [[nodiscard]] Tensor allocate(DType dtype, const Shape& shape) override;
  void synchronize() override;
  [[nodiscard]] bool host_accessible() const override;
  void upload(const TensorView& host, const TensorView& device) override;
  void download(const TensorView& device, const TensorView& host) override;
  void copy(const TensorView& from, const TensorView& to) override;
  /// The host's memory is read until the next operation or synchronize().
  [[nodiscard]] WeightView place(const WeightView& host, MatrixUse use, Owners& owners) override;
  [[nodiscard]] TensorView place(const TensorView& host, Owners& owners) override;

  void run_step(std::span<const std::uint64_t> key, const std::function<void()>& work) override;

  void embedding(const EmbeddingArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void linears(std::span<const LinearArgs> products) override;
  void norm_linears(const RmsNormArgs& norm, std::span<const LinearArgs> products) override;
  void qk_norm_rope(const QkNormRopeArgs& args) override;
  void kv_append(const KvAppendArgs& args) override;
  void qk_norm_rope_append(const QkNormRopeArgs& rotate, const KvAppendArgs& append) override;
  void attention(const AttentionArgs& args) override;
  void attention_block(const AttentionBlockArgs& args) override;
  void uniform_noise(const UniformNoiseArgs& args) override;
  void moe_route(const MoeRouteArgs& args) override;
  void norm_route(const RmsNormArgs& norm, const MoeRouteArgs& route) override;
  void moe_experts(const MoeExpertsArgs& args) override;
  void moe_block(const MoeBlockArgs& args) override;
  void top_scores(const TopScoresArgs& args) override;
  void random_fill(const RandomFillArgs& args) override;

 private:
  struct Impl;
  [[nodiscard]] Impl& on_device() const;

  std::unique_ptr<Impl> impl_;
};

}  // namespace m2
