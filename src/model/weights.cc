#include "model/weights.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "model/weight_names.h"
#include "model/weight_views.h"

namespace m2 {
namespace {

std::string number_list(const std::vector<std::int64_t>& numbers) {
  constexpr std::size_t kMaxShown = 16;
  std::string text = "{";
  for (std::size_t i = 0; i < std::min(numbers.size(), kMaxShown); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(numbers[i]);
  }
  if (numbers.size() > kMaxShown) {
    text += ", and " + std::to_string(numbers.size() - kMaxShown) + " more";
  }
  return text + "}";
}

// Where tensors were found. Experts are lists, so that the memory follows the file's tensors and
// not what a config claims.
struct Slot {
  const CheckpointTensor* weight = nullptr;
  const CheckpointTensor* scale = nullptr;
};

struct ExpertSlot {
  std::int64_t expert = 0;
  Slot slot;
};

struct LayerSlots {
  std::array<Slot, kNumLayerParts> parts;
  std::array<std::vector<ExpertSlot>, kNumExpertParts> experts;
};

constexpr std::size_t kGate = 0;  // of kNumExpertParts
constexpr std::size_t kUp = 1;
constexpr std::size_t kDown = 2;

class WeightLoader {
 public:
  WeightLoader(const MiniMaxM2Config& config, const Checkpoint& checkpoint,
               const WeightLoadOptions& options, LoadReport& report)
      : config_(config),
        checkpoint_(checkpoint),
        options_(options),
        report_(report),
        views_(config, options, report),
        layers_(static_cast<std::size_t>(config.num_hidden_layers)) {}

  ModelWeights load(const LoadProgress& progress);

 private:
  struct ExpertSize {
    std::int64_t rows;
    std::int64_t cols;
  };

  void place_all();
  bool place(const CheckpointTensor& tensor);
  Slot* slot_of(const Place& place);
  Slot& expert_slot(std::vector<ExpertSlot>& slots, std::int64_t expert);

  void load_embeddings(ModelWeights& weights);
  LayerWeights load_layer(std::int64_t layer);
  void load_experts(std::int64_t layer, LayerWeights& weights);
  std::vector<WeightView> fused_experts(std::int64_t layer, Part part, std::int64_t parts);
  std::vector<WeightView> single_experts(std::int64_t layer, std::size_t which);
  std::vector<WeightView> initial_experts(std::int64_t layer, std::size_t which);
  bool check_expert_set(std::int64_t layer, std::size_t which);
  bool experts_fit(std::int64_t layer, std::size_t which);
  void report_experts(std::int64_t layer, Part fused, std::vector<std::size_t> parts);
  void refuse_both_forms(std::int64_t layer, std::size_t which) const;

  [[nodiscard]] FoundTensor found(const Place& place, const Slot& slot) const {
    return {tensor_name(place), place.part, slot.weight, slot.scale};
  }
  [[nodiscard]] FoundTensor found_model(Part part) const {
    return found({part}, model_[static_cast<std::size_t>(part)]);
  }
  [[nodiscard]] const Slot& layer_slot(std::int64_t layer, Part part) const {
    return layers_[static_cast<std::size_t>(layer)].parts[layer_index(part)];
  }
  [[nodiscard]] FoundTensor found_layer(std::int64_t layer, Part part) const {
    return found({part, layer}, layer_slot(layer, part));
  }
  [[nodiscard]] const std::vector<ExpertSlot>& expert_slots(std::int64_t layer,
                                                            std::size_t which) const {
    return layers_[static_cast<std::size_t>(layer)].experts[which];
  }
  [[nodiscard]] ExpertSize expert_size(std::size_t which) const {
    return which == kDown ? ExpertSize{config_.hidden_size, config_.intermediate_size}
                          : ExpertSize{config_.intermediate_size, config_.hidden_size};
  }

  const MiniMaxM2Config& config_;
  const Checkpoint& checkpoint_;
  const WeightLoadOptions& options_;
  LoadReport& report_;
  WeightViews views_;
  std::array<Slot, kNumModelParts> model_;
  std::vector<LayerSlots> layers_;
};

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

void WeightLoader::refuse_both_forms(std::int64_t layer, std::size_t which) const {
  const Part fused = fused_part(expert_part(which));
  const auto& single = expert_slots(layer, which);
  const Slot& stack = layer_slot(layer, fused);
  const TensorName name = tensor_name({fused, layer});
  M2_REQUIRE(ErrorCode::kCorruptFile, stack.weight != nullptr || stack.scale == nullptr,
             "checkpoint: the scales ", name.both(kScaleSuffix), " have no weight ", name.both());
  if (stack.weight == nullptr || single.empty()) return;
  fail(ErrorCode::kCorruptFile, "checkpoint: ", stack.weight->name, " and ",
       tensor_name({expert_part(which), layer, single.front().expert}).both(),
       " are the same tensor of the model");
}

void WeightLoader::load_experts(std::int64_t layer, LayerWeights& weights) {
  for (const std::size_t which : {kGate, kUp, kDown}) refuse_both_forms(layer, which);
  std::vector<WeightView> gate;
  std::vector<WeightView> up;
  std::vector<WeightView> down;
  if (layer_slot(layer, Part::kFusedGateUp).weight != nullptr) {
    const auto both = fused_experts(layer, Part::kFusedGateUp, 2);
    for (std::size_t i = 0; i < both.size(); ++i) (i % 2 == 0 ? gate : up).push_back(both[i]);
  } else {
    report_experts(layer, Part::kFusedGateUp, {kGate, kUp});
    gate = single_experts(layer, kGate);
    up = single_experts(layer, kUp);
  }
  if (layer_slot(layer, Part::kFusedDown).weight != nullptr) {
    down = fused_experts(layer, Part::kFusedDown, 1);
  } else {
    report_experts(layer, Part::kFusedDown, {kDown});
    down = single_experts(layer, kDown);
  }
  if (gate.empty() || up.empty() || down.empty()) return;
  weights.experts.resize(static_cast<std::size_t>(config_.num_local_experts));
  for (std::size_t e = 0; e < weights.experts.size(); ++e) {
    weights.experts[e] = {gate[e], up[e], down[e]};
  }
}

std::vector<WeightView> WeightLoader::initial_experts(std::int64_t layer, std::size_t which) {
  const auto [rows, cols] = expert_size(which);
  std::vector<WeightView> views;
  for (std::int64_t e = 0; e < config_.num_local_experts; ++e) {
    views.push_back(
        views_.initial_matrix(found({expert_part(which), layer, e}, Slot()), rows, cols));
  }
  return views;
}

// In the order of the file: `parts` matrices of each expert.
std::vector<WeightView> WeightLoader::fused_experts(std::int64_t layer, Part part,
                                                    std::int64_t parts) {
  const std::size_t first = part == Part::kFusedGateUp ? kGate : kDown;
  const auto [rows, cols] = expert_size(first);
  auto views = views_.stack(found_layer(layer, part),
                            {config_.num_local_experts, parts * rows, cols}, parts);
  if (!views.empty() || !options_.initialize_mismatched) return views;
  std::vector<std::vector<WeightView>> made;
  for (std::int64_t i = 0; i < parts; ++i) {
    made.push_back(initial_experts(layer, first + static_cast<std::size_t>(i)));
  }
  for (std::size_t e = 0; e < made.front().size(); ++e) {
    for (const auto& matrices : made) views.push_back(matrices[e]);
  }
  return views;
}

bool WeightLoader::experts_fit(std::int64_t layer, std::size_t which) {
  const Shape shape{expert_size(which).rows, expert_size(which).cols};
  return std::ranges::all_of(expert_slots(layer, which), [&](const ExpertSlot& expert) {
    return expert.slot.weight == nullptr || expert.slot.weight->shape == shape;
  });
}

std::vector<WeightView> WeightLoader::single_experts(std::int64_t layer, std::size_t which) {
  const auto [rows, cols] = expert_size(which);
  const bool none = expert_slots(layer, which).empty();
  const bool complete = check_expert_set(layer, which);
  if (none ? options_.initialize_missing : options_.initialize_mismatched) {
    if (!complete || !experts_fit(layer, which)) return initial_experts(layer, which);
  }
  std::vector<WeightView> views;
  if (!complete) return views;
  for (const auto& [expert, slot] : expert_slots(layer, which)) {
    views.push_back(views_.matrix(found({expert_part(which), layer, expert}, slot), rows, cols));
  }
  return views;
}

// True when the experts are exactly 0 .. E-1; otherwise the difference is in the report.
bool WeightLoader::check_expert_set(std::int64_t layer, std::size_t which) {
  const auto& slots = expert_slots(layer, which);
  const std::int64_t count = config_.num_local_experts;
  const auto [rows, cols] = expert_size(which);
  const auto list_name = [&](const std::vector<std::int64_t>& numbers) {
    return expert_list_name(expert_part(which), layer, number_list(numbers)).both();
  };
  std::vector<std::int64_t> missing;
  auto next = slots.begin();
  for (std::int64_t expert = 0; expert < count; ++expert) {
    if (next != slots.end() && next->expert == expert) {
      ++next;
    } else {
      missing.push_back(expert);
    }
  }
  if (!missing.empty()) report_.missing.push_back(list_name(missing));
  if (next == slots.end()) return missing.empty();
  std::vector<std::int64_t> surplus;
  for (; next != slots.end(); ++next) surplus.push_back(next->expert);
  report_.mismatched.push_back(
      {list_name(surplus), {std::ssize(slots), rows, cols}, {count, rows, cols}});
  return false;
}

// What the reference says of experts: they are stacked in the order of their numbers, w1 and w3
// beside each other, and the stack fits or does not.
void WeightLoader::report_experts(std::int64_t layer, Part fused, std::vector<std::size_t> parts) {
  const std::string name = tensor_name({fused, layer}).internal;
  const auto& first = expert_slots(layer, parts.front());
  bool none = true;
  bool stacks = !first.empty();
  const Shape shape =
      stacks && first.front().slot.weight != nullptr ? first.front().slot.weight->shape : Shape();
  for (const std::size_t which : parts) {
    const auto& slots = expert_slots(layer, which);
    none = none && slots.empty();
    stacks = stacks && slots.size() == first.size() && shape.rank() == 2;
    for (const ExpertSlot& slot : slots) {
      stacks = stacks && slot.slot.weight != nullptr && slot.slot.weight->shape == shape;
    }
  }
  if (none) {
    report_.missing_keys.push_back(name);
    return;
  }
  if (!stacks) {
    report_.error_msgs.push_back(name + " cannot be made of the experts in the file");
    return;
  }
  const auto factor = std::ssize(parts);
  const auto [rows, cols] = expert_size(parts.front());
  const Shape file_shape{std::ssize(first), factor * shape[0], shape[1]};
  const Shape model_shape{config_.num_local_experts, factor * rows, cols};
  if (file_shape != model_shape) report_.mismatched_keys.push_back({name, file_shape, model_shape});
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

}  // namespace

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
