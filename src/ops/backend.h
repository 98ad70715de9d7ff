// The interface between the model and what computes it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ops/attention_block.h"
#include "ops/embedding.h"
#include "ops/kv_append.h"
#include "ops/linear.h"
#include "ops/moe_block.h"
#include "ops/moe_experts.h"
#include "ops/moe_route.h"
#include "ops/placed_format.h"
#include "ops/qk_norm_rope.h"
#include "ops/random_fill.h"
#include "ops/rms_norm.h"
#include "ops/top_scores.h"
#include "ops/uniform_noise.h"

namespace m2 {

/// Keeps memory alive that views point at.
using Owners = std::vector<std::shared_ptr<const void>>;

/// A device that runs the operations. Each operation checks its contract (ops/<op>.h) first and
/// must agree with the plain reference beside it within the tolerance of its test. Every tensor and
/// weight of an argument struct lies in memory of this backend. Calls come from one thread at a
/// time and take effect in order; on return of an operation its outputs may be read by the next
/// operation, and by the host after download() or, where host_accessible(), after synchronize().
class Backend {
 public:
  virtual ~Backend() = default;

  /// For logs and reports: "cpu (AVX3, 2 threads)".
  [[nodiscard]] virtual std::string description() const = 0;

  /// Memory that the operations may read and write, zero-filled.
  [[nodiscard]] virtual Tensor allocate(DType dtype, const Shape& shape) = 0;
  virtual void synchronize() = 0;

  /// True when operations may use any memory of the host, and the host that of allocate().
  [[nodiscard]] virtual bool host_accessible() const = 0;
  /// Copies between the host and this backend's memory; types and shapes must be equal. The host's
  /// memory is free (upload) or filled (download) on return.
  virtual void upload(const TensorView& host, const TensorView& device) = 0;
  virtual void download(const TensorView& device, const TensorView& host) = 0;
  /// Within this backend's memory; the two do not overlap.
  virtual void copy(const TensorView& from, const TensorView& to) = 0;

  /// A weight in this backend's memory, scales included; new memory is added to `owners`. Where
  /// host_accessible() it is the view itself: mapped files stay mapped. Elsewhere matrices in
  /// blocks are kept in their placed_format(), or as BF16.
  [[nodiscard]] virtual WeightView place(const WeightView& host, MatrixUse use, Owners& owners) = 0;
  [[nodiscard]] virtual TensorView place(const TensorView& host, Owners& owners) = 0;

  /// Runs `work`: operations of this backend, uploads, downloads last. A device may record it and,
  /// when an equal key comes again, replay it with what the host's memory then holds; so a key holds
  /// all that they are called with: addresses (those of the host, too), sizes, numbers.
  virtual void run_step(std::span<const std::uint64_t> key, const std::function<void()>& work) {
    static_cast<void>(key);
    work();
  }

  virtual void embedding(const EmbeddingArgs& args) = 0;
  virtual void rms_norm(const RmsNormArgs& args) = 0;
  virtual void linear(const LinearArgs& args) = 0;
  /// Products of one input with several weights; a device may make them together.
  virtual void linears(std::span<const LinearArgs> products) {
    for (const LinearArgs& args : products) linear(args);
  }
  /// rms_norm, then products with its output, which may stay unwritten: it is room for it.
  virtual void norm_linears(const RmsNormArgs& norm, std::span<const LinearArgs> products) {
    rms_norm(norm);
    linears(products);
  }
  virtual void qk_norm_rope(const QkNormRopeArgs& args) = 0;
  virtual void kv_append(const KvAppendArgs& args) = 0;
  virtual void qk_norm_rope_append(const QkNormRopeArgs& rotate, const KvAppendArgs& append) {
    qk_norm_rope(rotate);
    kv_append(append);
  }
  virtual void attention(const AttentionArgs& args) = 0;
  virtual void attention_block(const AttentionBlockArgs& args) {
    norm_linears(args.norm, args.projections);
    qk_norm_rope_append(args.rotate, args.append);
    attention(args.attention);
    linear(args.output);
  }
  virtual void uniform_noise(const UniformNoiseArgs& args) = 0;
  virtual void moe_route(const MoeRouteArgs& args) = 0;
  /// rms_norm, then the router of its output.
  virtual void norm_route(const RmsNormArgs& norm, const MoeRouteArgs& route) {
    rms_norm(norm);
    moe_route(route);
  }
  virtual void moe_experts(const MoeExpertsArgs& args) = 0;
  virtual void moe_block(const MoeBlockArgs& args) {
    norm_route(args.norm, args.route);
    moe_experts(args.experts);
  }
  virtual void top_scores(const TopScoresArgs& args) = 0;

  /// Not of the forward pass: contents for measurements.
  virtual void random_fill(const RandomFillArgs& args) = 0;
};

}  // namespace m2
