#include "model/weights.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "model/weight_loader.h"

namespace m2 {

// The tensors come in natural order, so an expert is nearly always the last one or a new one.
Slot& WeightLoader::expert_slot(std::vector<ExpertSlot>& slots, std::int64_t expert) {
  const auto position = std::lower_bound(
      slots.begin(), slots.end(), expert,
      [](const ExpertSlot& slot, std::int64_t number) { return slot.expert < number; });
  if (position != slots.end() && position->expert == expert) return position->slot;
  return slots.insert(position, {expert, {}})->slot;
}

Slot* WeightLoader::slot_of(const Place& place) {
  if (place.part == Part::kLmHead && !options_.head) return nullptr;
  if (place.layer < 0) return &model_[static_cast<std::size_t>(place.part)];
  if (place.layer >= config_.num_hidden_layers) return nullptr;
  auto& layer = layers_[static_cast<std::size_t>(place.layer)];
  if (place.expert < 0) return &layer.parts[layer_index(place.part)];
  return &expert_slot(layer.experts[expert_index(place.part)], place.expert);
}

bool WeightLoader::place(const CheckpointTensor& tensor) {
  std::string_view name = tensor.name;
  const bool scale = name.ends_with(kScaleSuffix);
  if (scale) name.remove_suffix(kScaleSuffix.size());
  const auto place = parse_tensor_name(name);
  Slot* slot = place.has_value() ? slot_of(*place) : nullptr;
  if (slot == nullptr) return false;
  const CheckpointTensor*& target = scale ? slot->scale : slot->weight;
  M2_REQUIRE(ErrorCode::kCorruptFile, target == nullptr, "checkpoint: ", tensor.name, " and ",
             target->name, " are the same tensor of the model");
  target = &tensor;
  return true;
}

void WeightLoader::place_all() {
  for (const auto& tensor : checkpoint_.tensors()) {
    // The frequencies are computed from the config; old files carry them.
    if (tensor.name.find("rotary_emb.inv_freq") != std::string_view::npos) continue;
    if (place(tensor)) continue;
    report_.unexpected.emplace_back(tensor.name);
    report_.unexpected_keys.push_back(internal_name(tensor.name));
  }
}

// Tied means: one of the two tensors is absent and shares the other. A file with both keeps both.
void WeightLoader::load_embeddings(ModelWeights& weights) {
  const FoundTensor embed = found_model(Part::kEmbedTokens);
  const FoundTensor head = found_model(Part::kLmHead);
  const std::int64_t rows = config_.vocab_size;
  const std::int64_t cols = config_.hidden_size;
  if (config_.tie_word_embeddings && embed.weight == nullptr && head.weight != nullptr) {
    weights.tied = true;
    weights.lm_head = weights.embed_tokens = views_.matrix(head, rows, cols);
    return;
  }
  weights.embed_tokens = views_.matrix(embed, rows, cols);
  weights.lm_head = weights.embed_tokens;
  if (!options_.head) return;
  if (!config_.tie_word_embeddings || head.weight != nullptr) {
    weights.lm_head = views_.matrix(head, rows, cols);
    if (!config_.tie_word_embeddings) return;
    report_.warnings.push_back("tie_word_embeddings is set, but the file has both " +
                               embed.name.hub + " and " + head.name.hub + "; they are not tied");
    return;
  }
  weights.tied = true;
  if (embed.weight != nullptr) return;
  report_.missing.push_back(head.name.hub);
  report_.missing_keys.push_back(head.name.internal);
}

LayerWeights WeightLoader::load_layer(std::int64_t layer) {
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t q_width = config_.num_attention_heads * config_.head_dim;
  const std::int64_t kv_width = config_.num_key_value_heads * config_.head_dim;
  const auto vector = [&](Part part, std::int64_t size) {
    return views_.vector(found_layer(layer, part), size);
  };
  const auto matrix = [&](Part part, std::int64_t rows, std::int64_t cols) {
    return views_.matrix(found_layer(layer, part), rows, cols);
  };
  LayerWeights weights;
  weights.input_norm = vector(Part::kInputNorm, hidden);
  weights.post_attention_norm = vector(Part::kPostAttentionNorm, hidden);
  weights.q_norm = vector(Part::kQNorm, q_width);
  weights.k_norm = vector(Part::kKNorm, kv_width);
  weights.q = matrix(Part::kQ, q_width, hidden);
  weights.k = matrix(Part::kK, kv_width, hidden);
  weights.v = matrix(Part::kV, kv_width, hidden);
  weights.attn_out = matrix(Part::kAttnOut, hidden, q_width);
  weights.gate = matrix(Part::kGate, config_.num_local_experts, hidden);
  weights.correction_bias = vector(Part::kCorrectionBias, config_.num_local_experts);
  load_experts(layer, weights);
  return weights;
}

ModelWeights WeightLoader::load(const LoadProgress& progress) {
  place_all();
  const std::int64_t total = std::ssize(checkpoint_.tensors()) - std::ssize(report_.unexpected);
  ModelWeights weights;
  load_embeddings(weights);
  weights.norm = views_.vector(found_model(Part::kNorm), config_.hidden_size);
  weights.layers.reserve(layers_.size());
  for (std::int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    if (progress) progress(report_.num_tensors, total);
    weights.layers.push_back(load_layer(layer));
  }
  if (progress) progress(total, total);
  views_.finish(weights);
  return weights;
}

ModelWeights load_weights(const MiniMaxM2Config& config,
                          std::shared_ptr<const Checkpoint> checkpoint, LoadReport* report,
                          const LoadProgress& progress, const WeightLoadOptions& options) {
  M2_CHECK(checkpoint != nullptr, "load_weights: no checkpoint");
  config.validate();
  LoadReport local;
  LoadReport& result = report != nullptr ? *report : local;
  result = {};
  result.copied_tensors = checkpoint->copied_tensors();
  result.copied_bytes = checkpoint->copied_bytes();
  for (const auto& name : checkpoint->repeated_names()) {
    result.warnings.push_back(name + " is in more than one file; the last one counts");
  }
  ModelWeights weights = WeightLoader(config, *checkpoint, options, result).load(progress);
  finish_report(result);
  refuse_incomplete(result, options.initialize_missing, options.initialize_mismatched);
  weights.owners.push_back(std::move(checkpoint));
  return weights;
}

ModelWeights random_weights(const MiniMaxM2Config& config, DType dtype, std::uint64_t seed) {
  return load_weights(config, Checkpoint::empty(), nullptr, {},
                      {.dtype = dtype, .initialize_missing = true, .seed = seed});
}

}  // namespace m2
