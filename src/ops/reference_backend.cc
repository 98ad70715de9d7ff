#include "ops/reference_backend.h"

namespace m2 {

std::string ReferenceBackend::description() const { return "reference (1 thread)"; }

void ReferenceBackend::embedding(const EmbeddingArgs& args) { reference::embedding(args); }

void ReferenceBackend::rms_norm(const RmsNormArgs& args) { reference::rms_norm(args); }

void ReferenceBackend::linear(const LinearArgs& args) { reference::linear(args); }

void ReferenceBackend::qk_norm_rope(const QkNormRopeArgs& args) { reference::qk_norm_rope(args); }

void ReferenceBackend::kv_append(const KvAppendArgs& args) { reference::kv_append(args); }

void ReferenceBackend::attention(const AttentionArgs& args) { reference::attention(args); }

void ReferenceBackend::uniform_noise(const UniformNoiseArgs& args) {
  reference::uniform_noise(args);
}

void ReferenceBackend::moe_route(const MoeRouteArgs& args) { reference::moe_route(args); }

void ReferenceBackend::moe_experts(const MoeExpertsArgs& args) { reference::moe_experts(args); }

void ReferenceBackend::top_scores(const TopScoresArgs& args) { reference::top_scores(args); }

void ReferenceBackend::random_fill(const RandomFillArgs& args) { reference::random_fill(args); }

}  // namespace m2
