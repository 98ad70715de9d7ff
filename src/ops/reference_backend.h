// A backend made of the plain references: the oracle of tests.
#pragma once

#include "ops/host_backend.h"

namespace m2 {

/// Runs on the calling thread, in the memory of the host.
class ReferenceBackend final : public HostBackend {
 public:
  [[nodiscard]] std::string description() const override;

  void embedding(const EmbeddingArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void qk_norm_rope(const QkNormRopeArgs& args) override;
  void kv_append(const KvAppendArgs& args) override;
  void attention(const AttentionArgs& args) override;
  void uniform_noise(const UniformNoiseArgs& args) override;
  void moe_route(const MoeRouteArgs& args) override;
  void moe_experts(const MoeExpertsArgs& args) override;
  void top_scores(const TopScoresArgs& args) override;
  void random_fill(const RandomFillArgs& args) override;
};

}  // namespace m2
