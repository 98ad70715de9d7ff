#include "model/weights.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "model/weight_views.h"

namespace m2 {
namespace {

// What a tensor is: first those of the model, then those of a layer.
enum class Part {
  kEmbedTokens,
  kLmHead,
  kNorm,
  kInputNorm,
  kPostAttentionNorm,
  kQNorm,
  kKNorm,
  kQ,
  kK,
  kV,
  kAttnOut,
  kGate,
  kCorrectionBias,
  kFusedGateUp,
  kFusedDown,
  kExpertGate,
  kExpertUp,
  kExpertDown,
};

struct PartName {
  Part part;
  std::string_view name;           // after "model." or "model.layers.N."; the hub's form
  std::string_view internal = {};  // where it differs
};

constexpr std::array<PartName, 3> kModelNames = {{
    {Part::kEmbedTokens, "embed_tokens.weight"},
    {Part::kLmHead, "lm_head.weight"},
    {Part::kNorm, "norm.weight"},
}};

constexpr std::array<PartName, 12> kLayerNames = {{
    {Part::kInputNorm, "input_layernorm.weight"},
    {Part::kPostAttentionNorm, "post_attention_layernorm.weight"},
    {Part::kQNorm, "self_attn.q_norm.weight"},
    {Part::kKNorm, "self_attn.k_norm.weight"},
    {Part::kQ, "self_attn.q_proj.weight"},
    {Part::kK, "self_attn.k_proj.weight"},
    {Part::kV, "self_attn.v_proj.weight"},
    {Part::kAttnOut, "self_attn.o_proj.weight"},
    {Part::kGate, "block_sparse_moe.gate.weight", "mlp.gate.weight"},
    {Part::kCorrectionBias, "block_sparse_moe.e_score_correction_bias",
     "mlp.e_score_correction_bias"},
    {Part::kFusedGateUp, "block_sparse_moe.experts.gate_up_proj", "mlp.experts.gate_up_proj"},
    {Part::kFusedDown, "block_sparse_moe.experts.down_proj", "mlp.experts.down_proj"},
}};

// After "experts.N."; the fused tensor that holds them all.
constexpr std::array<std::pair<PartName, std::string_view>, 3> kExpertNames = {{
    {{Part::kExpertGate, "w1.weight"}, "gate_up_proj"},
    {{Part::kExpertUp, "w3.weight"}, "gate_up_proj"},
    {{Part::kExpertDown, "w2.weight"}, "down_proj"},
}};

constexpr std::string_view kScaleSuffix = "_scale_inv";
constexpr std::string_view kHubBlock = "block_sparse_moe.";
constexpr std::string_view kInternalBlock = "mlp.";

struct Place {
  Part part;
  std::int64_t layer = -1;
  std::int64_t expert = -1;
};

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// A canonical number and the dot behind it: "12." but not "012.".
std::optional<std::int64_t> take_number(std::string_view& text) {
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const bool canonical = stop == text.data() + 1 || text.front() != '0';
  if (error != std::errc() || stop == end || *stop != '.' || !canonical || number < 0) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()) + 1);
  return number;
}

std::optional<Place> parse_layer_name(std::string_view name, std::int64_t layer) {
  for (const auto& entry : kLayerNames) {
    if (name == entry.name || name == entry.internal) return Place{entry.part, layer};
  }
  const bool in_block = take_prefix(name, kHubBlock) || take_prefix(name, kInternalBlock);
  if (!in_block || !take_prefix(name, "experts.")) return std::nullopt;
  const auto expert = take_number(name);
  if (!expert.has_value()) return std::nullopt;
  for (const auto& [entry, fused] : kExpertNames) {
    if (name == entry.name) return Place{entry.part, layer, *expert};
  }
  return std::nullopt;
}

// Without the suffix of scales. A bare model's file lacks the leading "model.".
std::optional<Place> parse_name(std::string_view name) {
  take_prefix(name, "model.");
  for (const auto& entry : kModelNames) {
    if (name == entry.name) return Place{entry.part};
  }
  if (!take_prefix(name, "layers.")) return std::nullopt;
  const auto layer = take_number(name);
  return layer.has_value() ? parse_layer_name(name, *layer) : std::nullopt;
}

std::string layer_prefix(std::int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

// "hub name (internal name)", the second only where it differs.
std::string both_names(const std::string& prefix, const PartName& entry, std::string_view suffix) {
  std::string text = prefix;
  text.append(entry.name).append(suffix);
  if (entry.internal.empty()) return text;
  return text.append(" (").append(entry.internal).append(suffix).append(")");
}

// A tensor of the model or of a layer by its part.
FoundTensor named(const PartName& entry, std::int64_t layer) {
  std::string prefix = layer >= 0 ? layer_prefix(layer) : "model.";
  if (entry.part == Part::kLmHead) prefix.clear();
  return {both_names(prefix, entry, ""), both_names(prefix, entry, kScaleSuffix)};
}

// Experts of a layer by a number or by "{0, 3}".
FoundTensor named_expert(std::int64_t layer, const std::string& experts, std::size_t which) {
  const auto& [entry, fused] = kExpertNames[which];
  const auto name = [&](std::string_view suffix) {
    std::string text = layer_prefix(layer).append(kHubBlock) + "experts." + experts + ".";
    text.append(entry.name).append(suffix).append(" (").append(kInternalBlock);
    return text.append("experts.").append(fused).append(suffix).append(")");
  };
  return {name(""), name(kScaleSuffix)};
}

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
  std::array<Slot, kLayerNames.size()> parts;
  std::array<std::vector<ExpertSlot>, kExpertNames.size()> experts;
};

class WeightLoader {
 public:
  WeightLoader(const MiniMaxM2Config& config, const Checkpoint& checkpoint, LoadReport& report)
      : config_(config),
        checkpoint_(checkpoint),
        report_(report),
        views_(config, report),
        layers_(static_cast<std::size_t>(config.num_hidden_layers)) {}

  ModelWeights load(const LoadProgress& progress);

 private:
  void place_all();
  bool place(const CheckpointTensor& tensor);
  Slot* slot_of(const Place& place);
  Slot& expert_slot(std::vector<ExpertSlot>& slots, std::int64_t expert);

  void load_embeddings(ModelWeights& weights);
  LayerWeights load_layer(std::int64_t layer);
  void load_experts(std::int64_t layer, LayerWeights& weights);
  std::vector<WeightView> single_experts(std::int64_t layer, std::size_t which, std::int64_t rows,
                                         std::int64_t cols);
  bool check_expert_set(std::int64_t layer, std::size_t which, std::int64_t rows,
                        std::int64_t cols);
  void refuse_both_forms(std::int64_t layer, Part fused, std::size_t which) const;

  FoundTensor found_model(Part part) const;
  FoundTensor found_layer(std::int64_t layer, Part part) const;
  const Slot& layer_slot(std::int64_t layer, Part part) const;
  std::vector<ExpertSlot>& expert_slots(std::int64_t layer, std::size_t which) {
    return layers_[static_cast<std::size_t>(layer)].experts[which];
  }

  const MiniMaxM2Config& config_;
  const Checkpoint& checkpoint_;
  LoadReport& report_;
  WeightViews views_;
  std::array<Slot, kModelNames.size()> model_;
  std::vector<LayerSlots> layers_;
};

std::size_t layer_index(Part part) {
  return static_cast<std::size_t>(part) - static_cast<std::size_t>(Part::kInputNorm);
}

std::size_t expert_index(Part part) {
  return static_cast<std::size_t>(part) - static_cast<std::size_t>(Part::kExpertGate);
}

// The tensors come in natural order, so an expert is nearly always the last one or a new one.
Slot& WeightLoader::expert_slot(std::vector<ExpertSlot>& slots, std::int64_t expert) {
  const auto position = std::lower_bound(
      slots.begin(), slots.end(), expert,
      [](const ExpertSlot& slot, std::int64_t number) { return slot.expert < number; });
  if (position != slots.end() && position->expert == expert) return position->slot;
  return slots.insert(position, {expert, {}})->slot;
}

Slot* WeightLoader::slot_of(const Place& place) {
  if (place.layer < 0) return &model_[static_cast<std::size_t>(place.part)];
  if (place.layer >= config_.num_hidden_layers) return nullptr;
  if (place.expert < 0) {
    return &layers_[static_cast<std::size_t>(place.layer)].parts[layer_index(place.part)];
  }
  return &expert_slot(expert_slots(place.layer, expert_index(place.part)), place.expert);
}

bool WeightLoader::place(const CheckpointTensor& tensor) {
  std::string_view name = tensor.name;
  const bool scale = name.ends_with(kScaleSuffix);
  if (scale) name.remove_suffix(kScaleSuffix.size());
  const auto place = parse_name(name);
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
    if (!place(tensor)) report_.unexpected.emplace_back(tensor.name);
  }
}

FoundTensor WeightLoader::found_model(Part part) const {
  const auto index = static_cast<std::size_t>(part);
  FoundTensor found = named(kModelNames[index], -1);
  found.weight = model_[index].weight;
  found.scale = model_[index].scale;
  return found;
}

const Slot& WeightLoader::layer_slot(std::int64_t layer, Part part) const {
  return layers_[static_cast<std::size_t>(layer)].parts[layer_index(part)];
}

FoundTensor WeightLoader::found_layer(std::int64_t layer, Part part) const {
  FoundTensor found = named(kLayerNames[layer_index(part)], layer);
  found.weight = layer_slot(layer, part).weight;
  found.scale = layer_slot(layer, part).scale;
  return found;
}

// Tied means: one of the two tensors is absent and shares the other. A file with both keeps both.
void WeightLoader::load_embeddings(ModelWeights& weights) {
  FoundTensor embed = found_model(Part::kEmbedTokens);
  FoundTensor head = found_model(Part::kLmHead);
  if (config_.tie_word_embeddings) {
    const bool both = embed.weight != nullptr && head.weight != nullptr;
    const bool neither = embed.weight == nullptr && head.weight == nullptr;
    if (both) {
      report_.warnings.push_back("tie_word_embeddings is set, but the file has both " + embed.name +
                                 " and " + head.name + "; they are not tied");
    }
    weights.tied = !both && !neither;
  }
  const std::int64_t rows = config_.vocab_size;
  const std::int64_t cols = config_.hidden_size;
  const bool only_head = weights.tied && embed.weight == nullptr;
  if (!only_head) weights.embed_tokens = views_.matrix(embed, rows, cols);
  if (!weights.tied || only_head) weights.lm_head = views_.matrix(head, rows, cols);
  if (only_head) {
    weights.embed_tokens = weights.lm_head;
  } else if (weights.tied) {
    weights.lm_head = weights.embed_tokens;
  }
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

void WeightLoader::refuse_both_forms(std::int64_t layer, Part fused, std::size_t which) const {
  const auto& single = layers_[static_cast<std::size_t>(layer)].experts[which];
  const Slot& stack = layer_slot(layer, fused);
  M2_REQUIRE(ErrorCode::kCorruptFile, stack.weight != nullptr || stack.scale == nullptr,
             "checkpoint: the scales ", found_layer(layer, fused).scale_name, " have no weight ",
             found_layer(layer, fused).name);
  if (stack.weight == nullptr || single.empty()) return;
  fail(ErrorCode::kCorruptFile, "checkpoint: ", stack.weight->name, " and ",
       named_expert(layer, std::to_string(single.front().expert), which).name,
       " are the same tensor of the model");
}

void WeightLoader::load_experts(std::int64_t layer, LayerWeights& weights) {
  const std::int64_t count = config_.num_local_experts;
  const std::int64_t hidden = config_.hidden_size;
  const std::int64_t inner = config_.intermediate_size;
  refuse_both_forms(layer, Part::kFusedGateUp, 0);
  refuse_both_forms(layer, Part::kFusedGateUp, 1);
  refuse_both_forms(layer, Part::kFusedDown, 2);

  std::vector<WeightView> gate;
  std::vector<WeightView> up;
  if (layer_slot(layer, Part::kFusedGateUp).weight != nullptr) {
    const auto both =
        views_.stack(found_layer(layer, Part::kFusedGateUp), {count, 2 * inner, hidden}, 2);
    for (std::size_t i = 0; i < both.size(); ++i) (i % 2 == 0 ? gate : up).push_back(both[i]);
  } else {
    gate = single_experts(layer, 0, inner, hidden);
    up = single_experts(layer, 1, inner, hidden);
  }
  const auto down =
      layer_slot(layer, Part::kFusedDown).weight != nullptr
          ? views_.stack(found_layer(layer, Part::kFusedDown), {count, hidden, inner}, 1)
          : single_experts(layer, 2, hidden, inner);
  if (gate.empty() || up.empty() || down.empty()) return;
  weights.experts.resize(static_cast<std::size_t>(count));
  for (std::size_t e = 0; e < weights.experts.size(); ++e) {
    weights.experts[e] = {gate[e], up[e], down[e]};
  }
}

std::vector<WeightView> WeightLoader::single_experts(std::int64_t layer, std::size_t which,
                                                     std::int64_t rows, std::int64_t cols) {
  std::vector<WeightView> views;
  if (!check_expert_set(layer, which, rows, cols)) return views;
  for (const auto& [expert, slot] : expert_slots(layer, which)) {
    FoundTensor found = named_expert(layer, std::to_string(expert), which);
    found.weight = slot.weight;
    found.scale = slot.scale;
    views.push_back(views_.matrix(found, rows, cols));
  }
  return views;
}

// True when the experts are exactly 0 .. E-1; otherwise the difference is in the report.
bool WeightLoader::check_expert_set(std::int64_t layer, std::size_t which, std::int64_t rows,
                                    std::int64_t cols) {
  const auto& slots = expert_slots(layer, which);
  const std::int64_t count = config_.num_local_experts;
  std::vector<std::int64_t> missing;
  auto next = slots.begin();
  for (std::int64_t expert = 0; expert < count; ++expert) {
    if (next != slots.end() && next->expert == expert) {
      ++next;
    } else {
      missing.push_back(expert);
    }
  }
  if (!missing.empty()) {
    report_.missing.push_back(named_expert(layer, number_list(missing), which).name);
  }
  if (next == slots.end()) return missing.empty();
  std::vector<std::int64_t> surplus;
  for (; next != slots.end(); ++next) surplus.push_back(next->expert);
  report_.mismatched.push_back({named_expert(layer, number_list(surplus), which).name,
                                {std::ssize(slots), rows, cols},
                                {count, rows, cols}});
  return false;
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
  weights.owners.push_back(views_.owner());
  return weights;
}

void refuse_incomplete(const LoadReport& report) {
  if (report.missing.empty() && report.mismatched.empty()) return;
  constexpr std::size_t kMaxShown = 5;
  std::string text = "checkpoint does not fit the config:";
  const auto begin_list = [&text](std::size_t count, const char* what) {
    text += (text.back() == ':' ? " " : "; ") + std::to_string(count) + " " + what + ": ";
  };
  const auto end_list = [&text](std::size_t count) {
    if (count > kMaxShown) text += ", and " + std::to_string(count - kMaxShown) + " more";
  };
  if (!report.missing.empty()) {
    begin_list(report.missing.size(), "missing");
    for (std::size_t i = 0; i < std::min(report.missing.size(), kMaxShown); ++i) {
      text += (i == 0 ? "" : ", ") + report.missing[i];
    }
    end_list(report.missing.size());
  }
  if (!report.mismatched.empty()) {
    begin_list(report.mismatched.size(), "of another shape");
    for (std::size_t i = 0; i < std::min(report.mismatched.size(), kMaxShown); ++i) {
      const auto& [name, file_shape, model_shape] = report.mismatched[i];
      text += (i == 0 ? "" : ", ") + name + " is " + file_shape.to_string() + " in the file and " +
              model_shape.to_string() + " in the model";
    }
    end_list(report.mismatched.size());
  }
  fail(ErrorCode::kCorruptFile, text);
}

}  // namespace

ModelWeights load_weights(const MiniMaxM2Config& config,
                          std::shared_ptr<const Checkpoint> checkpoint, LoadReport* report,
                          const LoadProgress& progress) {
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
  ModelWeights weights = WeightLoader(config, *checkpoint, result).load(progress);
  refuse_incomplete(result);
  weights.owners.push_back(std::move(checkpoint));
  return weights;
}

}  // namespace m2
