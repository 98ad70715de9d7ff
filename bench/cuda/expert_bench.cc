#include <set>

#include "base/error.h"
#include "benches.h"

namespace m2::bench {
namespace {

constexpr std::int64_t kFewTokens = 256;  // more of them are bound by arithmetic

// Random choices of a batch, as many as there are calls in a step.
struct Routings {
  std::vector<Tensor> ids;
  double hit = 0.0;  // experts, on average

  Routings(Backend& backend, const MiniMaxM2Config& config, std::int64_t num_tokens,
           std::mt19937& engine) {
    for (int i = 0; i < kRecordedCalls; ++i) {
      const auto routing = random_routing(config, num_tokens, engine);
      hit += static_cast<double>(std::set(routing.begin(), routing.end()).size()) / kRecordedCalls;
      ids.push_back(upload(backend, routing, {num_tokens, config.num_experts_per_tok}));
    }
  }
};

}  // namespace

void bench_experts(CudaBackend& backend, WeightFormat format,
                   std::span<const std::int64_t> token_counts, Report& report) {
  constexpr int kLayers = 2;  // alternate, so that no weight is in a cache
  const MiniMaxM2Config config = full_width_config();
  RandomWeights weights(backend, format);
  std::vector<std::vector<ExpertWeights>> layers;
  for (int i = 0; i < kLayers; ++i) layers.push_back(weights.experts(config));
  const ExpertWeights& expert = layers[0][0];
  const auto expert_bytes =
      static_cast<double>(2 * expert.gate.num_bytes() + expert.down.num_bytes());
  std::mt19937 engine(3);
  for (const std::int64_t num_tokens : token_counts) {
    const Routings routings(backend, config, num_tokens, engine);
    const Tensor hidden = random_tensor(backend, {num_tokens, config.hidden_size});
    const Tensor topk_weights = random_tensor(backend, {num_tokens, config.num_experts_per_tok});
    const Tensor output = random_tensor(backend, hidden.shape());
    const double seconds = time_recorded(backend, [&](int i) {
      backend.moe_experts({.hidden_states = hidden.view(),
                           .topk_ids = routings.ids[static_cast<std::size_t>(i)].view(),
                           .topk_weights = topk_weights.view(),
                           .experts = layers[static_cast<std::size_t>(i % kLayers)],
                           .output = output.view()});
    });
    report.add(
        {.name = concat("moe_experts ", format.name(), " T=", num_tokens, " hit=", routings.hit),
         .seconds = seconds,
         .bytes = routings.hit * expert_bytes,
         .flops = num_tokens > kFewTokens ? expert_flops(config, num_tokens) : 0.0});
  }
}

}  // namespace m2::bench
