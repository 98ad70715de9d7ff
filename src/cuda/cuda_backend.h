// The operations on an NVIDIA device.
#pragma once

#include <memory>

#include "ops/backend.h"

namespace m2 {

/// Work goes to one stream of the device, in order; operations return before it is done.
/// Activations are float32 at the border. Weights in F16, BF16 and F8_E4M3 are multiplied by the
/// matrix units with nearly float32 accuracy (cuda/mma.cuh). Every output depends on its own token
/// (and the keys that it sees) only; it repeats bit for bit for the same shapes.
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
  [[nodiscard]] WeightView place(const WeightView& host, Owners& owners) override;
  [[nodiscard]] TensorView place(const TensorView& host, Owners& owners) override;

  void embedding(const EmbeddingArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void linears(std::span<const LinearArgs> products) override;
  void qk_norm_rope(const QkNormRopeArgs& args) override;
  void kv_append(const KvAppendArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void uniform_noise(const UniformNoiseArgs& args) override;
  void moe_route(const MoeRouteArgs& args) override;
  void moe_experts(const MoeExpertsArgs& args) override;
  void random_fill(const RandomFillArgs& args) override;

 private:
  struct Impl;
  [[nodiscard]] Impl& on_device() const;

  std::unique_ptr<Impl> impl_;
};

}  // namespace m2
