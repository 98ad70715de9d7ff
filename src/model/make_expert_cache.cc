#include "model/make_expert_cache.h"

#include <utility>

#include "base/byte_size.h"
#include "base/memory_info.h"

namespace m2 {
namespace {

// What the processor reads of a model.
struct HostBytes {
  std::int64_t experts = 0;
  std::int64_t others = 0;
};

HostBytes host_bytes(const ModelWeights& weights, const Placement& placement) {
  HostBytes bytes;
  if (placement.head->host_accessible()) bytes.others += weights.lm_head.num_bytes();
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    if (placement.layers[i]->host_accessible()) {
      for (const auto* matrix : {&layer.q, &layer.k, &layer.v, &layer.attn_out}) {
        bytes.others += matrix->num_bytes();
      }
    }
    if (!placement.mlps[i]->host_accessible()) continue;
    bytes.others += layer.gate.num_bytes();
    for (const ExpertWeights& expert : layer.experts) {
      for (const auto* matrix : {&expert.gate, &expert.up, &expert.down}) {
        bytes.experts += matrix->num_bytes();
      }
    }
  }
  return bytes;
}

// 0: none.
std::int64_t automatic_capacity(const HostBytes& bytes) {
  const std::int64_t available = available_memory_bytes();
  if (bytes.experts + bytes.others <= available / 10 * 9) return 0;
  return available / 4 * 3 - bytes.others;
}

}  // namespace

std::shared_ptr<ExpertCache> make_expert_cache(const ModelWeights& weights,
                                               const Placement& placement, const std::string& size,
                                               std::shared_ptr<const Checkpoint> checkpoint) {
  if (size == "0") return nullptr;
  const std::int64_t capacity = size == "auto" ? automatic_capacity(host_bytes(weights, placement))
                                               : parse_byte_size(size, "expert_cache");
  if (capacity <= 0) return nullptr;
  std::vector<bool> covered;
  for (const auto& backend : placement.mlps) covered.push_back(backend->host_accessible());
  return std::make_shared<ExpertCache>(std::move(checkpoint), weights.layers, covered, capacity);
}

}  // namespace m2
