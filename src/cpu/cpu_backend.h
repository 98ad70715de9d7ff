// The operations on the host's processor: SIMD kernels on all cores.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ops/host_backend.h"

namespace m2 {

/// Every output of linear, attention and moe_experts depends on its own token (and the keys that it
/// sees) only, bit for bit: neither the other tokens of the batch nor the number of threads change
/// it. Instruction sets differ in the last bits; those with fused products agree on weights in
/// strips.
class CpuBackend final : public HostBackend {
 public:
  /// num_threads and cpus as in ThreadPool. The instruction set is `target` ("AVX2", ...), else
  /// M2_CPU_TARGET, else the best one; throws kUnsupported when the machine lacks it.
  explicit CpuBackend(int num_threads, const std::optional<std::string>& target = std::nullopt,
                      std::span<const int> cpus = {});
  ~CpuBackend() override;

  /// The names of the instruction sets that this machine can run, the best first.
  [[nodiscard]] static std::vector<std::string> supported_targets();

  [[nodiscard]] std::string description() const override;

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
  void top_scores(const TopScoresArgs& args) override;
  void random_fill(const RandomFillArgs& args) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace m2
