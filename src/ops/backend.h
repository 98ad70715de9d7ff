// The interface between the model and what computes it.
#pragma once

#include <string>

#include "ops/add.h"
#include "ops/attention.h"
#include "ops/embedding.h"
#include "ops/kv_append.h"
#include "ops/linear.h"
#include "ops/moe_experts.h"
#include "ops/moe_route.h"
#include "ops/qk_norm_rope.h"
#include "ops/rms_norm.h"

namespace m2 {

/// A device that runs the operations. Each operation checks its contract (ops/<op>.h) first and
/// must agree with the plain reference beside it within the tolerance of its test. Calls come from
/// one thread at a time; on return of an operation its outputs may be read by the next operation,
/// and by the host after synchronize().
class Backend {
 public:
  virtual ~Backend() = default;

  /// For logs and reports: "cpu (AVX3, 2 threads)".
  [[nodiscard]] virtual std::string description() const = 0;

  /// Memory that the operations may read and write, zero-filled.
  [[nodiscard]] virtual Tensor allocate(DType dtype, const Shape& shape) = 0;
  virtual void synchronize() = 0;

  virtual void embedding(const EmbeddingArgs& args) = 0;
  virtual void rms_norm(const RmsNormArgs& args) = 0;
  virtual void linear(const LinearArgs& args) = 0;
  virtual void add(const AddArgs& args) = 0;
  virtual void qk_norm_rope(const QkNormRopeArgs& args) = 0;
  virtual void kv_append(const KvAppendArgs& args) = 0;
  virtual void attention(const AttentionArgs& args) = 0;
  virtual void moe_route(const MoeRouteArgs& args) = 0;
  virtual void moe_experts(const MoeExpertsArgs& args) = 0;
};

}  // namespace m2
