// The plain references as a device with memory of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "ops/reference_backend.h"

namespace m2::test {

/// Not host accessible: operations and the device's side of a copy throw kInternal for memory that
/// allocate() did not give, the host's side for memory that it did. Keeps all memory to its end, so
/// that no address changes sides; outlives the tensors. Counts the bytes that cross. Steps under an
/// equal key must use the same memory, as a record of them would. What is placed is read from the
/// host as late as can be, by synchronize().
class DistantBackend final : public Backend {
 public:
  [[nodiscard]] std::size_t uploaded() const { return uploaded_; }
  [[nodiscard]] std::size_t downloaded() const { return downloaded_; }

  [[nodiscard]] std::string description() const override { return "distant"; }
  [[nodiscard]] bool host_accessible() const override { return false; }
  void synchronize() override {
    for (const auto& [host, placed] : on_their_way_) reference_.copy(host, placed);
    on_their_way_.clear();
  }

  [[nodiscard]] Tensor allocate(DType dtype, const Shape& shape) override {
    const TensorView& view = memory_.emplace_back(dtype, shape).view();
    const auto* begin = static_cast<const std::byte*>(view.data);
    if (view.num_bytes() > 0) ends_[begin] = begin + view.num_bytes();
    return {view, [](void*) {}};
  }

  void run_step(std::span<const std::uint64_t> key, const std::function<void()>& work) override {
    used_.clear();
    work();
    const auto [step, is_new] = steps_.try_emplace({key.begin(), key.end()}, used_);
    M2_CHECK(step->second == used_, "a step under a known key uses other memory");
    num_repeated_steps_ += is_new ? 0 : 1;
  }
  [[nodiscard]] std::int64_t num_repeated_steps() const { return num_repeated_steps_; }
  /// Of a matrix of the host that was placed here.
  [[nodiscard]] MatrixUse use_of(const WeightView& host) const { return uses_.at(host.data); }

  void upload(const TensorView& host, const TensorView& device) override {
    check_side(host.data, host.num_bytes(), false);
    check_here(device);
    uploaded_ += host.num_bytes();
    reference_.upload(host, device);
  }
  void download(const TensorView& device, const TensorView& host) override {
    check_here(device);
    check_side(host.data, host.num_bytes(), false);
    downloaded_ += host.num_bytes();
    reference_.download(device, host);
  }
  void copy(const TensorView& from, const TensorView& to) override {
    check_here(from, to);
    reference_.copy(from, to);
  }

  [[nodiscard]] TensorView place(const TensorView& host, Owners& /*owners*/) override {
    const Tensor placed = allocate(host.dtype, host.shape);
    on_their_way_.emplace_back(host, placed.view());
    return placed.view();
  }
  [[nodiscard]] WeightView place(const WeightView& host, MatrixUse use, Owners& owners) override {
    uses_[host.data] = use;
    M2_CHECK(host.scale == nullptr, "only weights without scales");
    WeightView placed = host;
    placed.data =
        place({const_cast<void*>(host.data), host.dtype, {host.rows, host.cols}}, owners).data;
    return placed;
  }

  void embedding(const EmbeddingArgs& args) override {
    check_here(args.token_ids, args.weight, args.output);
    reference_.embedding(args);
  }
  void rms_norm(const RmsNormArgs& args) override {
    check_here(args.input, args.weight, args.output);
    reference_.rms_norm(args);
  }
  void linear(const LinearArgs& args) override {
    check_here(args.input, args.weight, args.output);
    reference_.linear(args);
  }
  void qk_norm_rope(const QkNormRopeArgs& args) override {
    check_here(args.q, args.k, args.q_weight, args.k_weight, args.cos, args.sin);
    reference_.qk_norm_rope(args);
  }
  void kv_append(const KvAppendArgs& args) override {
    check_here(args.k, args.v, args.slot_mapping, args.cache.keys, args.cache.values);
    reference_.kv_append(args);
  }
  void attention(const AttentionArgs& args) override {
    check_here(args.q, args.cache.keys, args.cache.values, args.cu_seqlens, args.context_lens,
               args.key_begin, args.key_end, args.block_tables, args.key_mask, args.mask,
               args.output, args.probabilities);
    reference_.attention(args);
  }
  void uniform_noise(const UniformNoiseArgs& args) override {
    check_here(args.values);
    reference_.uniform_noise(args);
  }
  void moe_route(const MoeRouteArgs& args) override {
    check_here(args.hidden_states, args.gate, args.correction_bias, args.router_logits,
               args.topk_ids, args.topk_weights);
    reference_.moe_route(args);
  }
  void moe_experts(const MoeExpertsArgs& args) override {
    check_here(args.hidden_states, args.topk_ids, args.topk_weights, args.output);
    for (const ExpertWeights& expert : args.experts)
      check_here(expert.gate, expert.up, expert.down);
    reference_.moe_experts(args);
  }
  void top_scores(const TopScoresArgs& args) override {
    check_here(args.scores, args.top_ids, args.top_scores);
    reference_.top_scores(args);
  }
  void random_fill(const RandomFillArgs& args) override {
    check_side(args.data, static_cast<std::size_t>(args.num_bytes), true);
    reference_.random_fill(args);
  }

 private:
  template <typename... Views>
  void check_here(const Views&... views) const {
    (check_side(views.data, static_cast<std::size_t>(views.num_bytes()), true), ...);
  }

  void check_side(const void* data, std::size_t num_bytes, bool here) const {
    if (data == nullptr || num_bytes == 0) return;
    if (here) used_.push_back(data);
    const auto* begin = static_cast<const std::byte*>(data);
    const auto next = ends_.upper_bound(begin);
    const bool found = next != ends_.begin() && begin + num_bytes <= std::prev(next)->second;
    M2_CHECK(found == here, "memory on the ", here ? "host" : "device", " where the other is due");
  }

  std::vector<std::pair<TensorView, TensorView>> on_their_way_;  // of the host, here
  std::map<const void*, MatrixUse> uses_;                        // of matrices of the host
  ReferenceBackend reference_;
  std::vector<Tensor> memory_;
  std::map<const std::byte*, const std::byte*, std::less<>> ends_;  // of every begin
  mutable std::vector<const void*> used_;  // by operations and copies, in their order
  std::map<std::vector<std::uint64_t>, std::vector<const void*>> steps_;
  std::int64_t num_repeated_steps_ = 0;
  std::size_t uploaded_ = 0;
  std::size_t downloaded_ = 0;
};

}  // namespace m2::test
