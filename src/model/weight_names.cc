#include "model/weight_names.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace m2 {
namespace {

struct PartName {
  Part part;
  std::string_view name;           // after "model." or "model.layers.N."; the hub's form
  std::string_view internal = {};  // where it differs
};

constexpr std::array<PartName, kNumModelParts> kModelNames = {{
    {Part::kEmbedTokens, "embed_tokens.weight"},
    {Part::kLmHead, "lm_head.weight"},
    {Part::kNorm, "norm.weight"},
}};

// All but the stacked ones.
constexpr std::array<PartName, kNumLayerParts - 2> kLayerNames = {{
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

// In GGUF files: as they are, or after "blk.N.".
constexpr std::array<PartName, kNumModelParts> kGgufModelNames = {{
    {Part::kEmbedTokens, "token_embd.weight"},
    {Part::kLmHead, "output.weight"},
    {Part::kNorm, "output_norm.weight"},
}};
constexpr std::array kGgufLayerNames = {
    PartName{Part::kInputNorm, "attn_norm.weight"},
    PartName{Part::kPostAttentionNorm, "ffn_norm.weight"},
    PartName{Part::kQNorm, "attn_q_norm.weight"},
    PartName{Part::kKNorm, "attn_k_norm.weight"},
    PartName{Part::kQ, "attn_q.weight"},
    PartName{Part::kK, "attn_k.weight"},
    PartName{Part::kV, "attn_v.weight"},
    PartName{Part::kAttnOut, "attn_output.weight"},
    PartName{Part::kGate, "ffn_gate_inp.weight"},
    PartName{Part::kCorrectionBias, "exp_probs_b.bias"},
    PartName{Part::kFusedDown, "ffn_down_exps.weight"},
    PartName{Part::kStackedGate, "ffn_gate_exps.weight"},
    PartName{Part::kStackedUp, "ffn_up_exps.weight"},
};

// After "experts.N."; the tensors that hold them all.
struct ExpertName {
  Part part;
  std::string_view name;
  Part fused;
  Part stacked;
};
constexpr std::array<ExpertName, kNumExpertParts> kExpertNames = {{
    {Part::kExpertGate, "w1.weight", Part::kFusedGateUp, Part::kStackedGate},
    {Part::kExpertUp, "w3.weight", Part::kFusedGateUp, Part::kStackedUp},
    {Part::kExpertDown, "w2.weight", Part::kFusedDown, Part::kFusedDown},
}};

constexpr std::string_view kHubBlock = "block_sparse_moe.";
constexpr std::string_view kInternalBlock = "mlp.";

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
  for (const auto& entry : kExpertNames) {
    if (name == entry.name) return Place{entry.part, layer, *expert};
  }
  return std::nullopt;
}

std::optional<Place> parse_gguf_name(std::string_view name) {
  for (const auto& entry : kGgufModelNames) {
    if (name == entry.name) return Place{entry.part};
  }
  if (!take_prefix(name, "blk.")) return std::nullopt;
  const auto layer = take_number(name);
  if (!layer.has_value()) return std::nullopt;
  for (const auto& entry : kGgufLayerNames) {
    if (name == entry.name) return Place{entry.part, *layer};
  }
  return std::nullopt;
}

std::string joined(std::string_view prefix, std::string_view name) {
  return std::string(prefix).append(name);
}

std::string layer_prefix(std::int64_t layer) {
  return "model.layers." + std::to_string(layer) + ".";
}

}  // namespace

std::size_t layer_index(Part part) {
  return static_cast<std::size_t>(part) - static_cast<std::size_t>(Part::kInputNorm);
}

std::size_t expert_index(Part part) {
  return static_cast<std::size_t>(part) - static_cast<std::size_t>(Part::kExpertGate);
}

Part expert_part(std::size_t index) { return kExpertNames[index].part; }

Part fused_part(Part expert_part) { return kExpertNames[expert_index(expert_part)].fused; }

Part stacked_part(Part expert_part) { return kExpertNames[expert_index(expert_part)].stacked; }

std::string TensorName::both(std::string_view suffix) const {
  std::string text = joined(hub, suffix);
  if (internal == hub) return text;
  // What the names have in common, up to a dot, is said once.
  std::size_t common = 0;
  for (std::size_t i = 0; i < hub.size() && i < internal.size() && hub[i] == internal[i]; ++i) {
    if (hub[i] == '.') common = i + 1;
  }
  return text.append(" (").append(internal, common).append(suffix).append(")");
}

std::optional<Place> parse_tensor_name(std::string_view name) {
  if (const auto place = parse_gguf_name(name)) return place;
  take_prefix(name, "model.");
  for (const auto& entry : kModelNames) {
    if (name == entry.name) return Place{entry.part};
  }
  if (!take_prefix(name, "layers.")) return std::nullopt;
  const auto layer = take_number(name);
  return layer.has_value() ? parse_layer_name(name, *layer) : std::nullopt;
}

TensorName tensor_name(const Place& place) {
  if (place.expert >= 0) {
    return expert_list_name(place.part, place.layer, std::to_string(place.expert));
  }
  if (place.layer < 0) {
    const auto& entry = kModelNames[static_cast<std::size_t>(place.part)];
    const std::string name = joined(place.part == Part::kLmHead ? "" : "model.", entry.name);
    return {name, name};
  }
  if (place.part == Part::kStackedGate || place.part == Part::kStackedUp) {
    const std::string name = gguf_name(place);
    return {name, name};
  }
  const auto& entry = kLayerNames[layer_index(place.part)];
  const std::string prefix = layer_prefix(place.layer);
  return {joined(prefix, entry.name),
          joined(prefix, entry.internal.empty() ? entry.name : entry.internal)};
}

std::string gguf_name(const Place& place) {
  if (place.layer < 0) {
    return std::string(kGgufModelNames[static_cast<std::size_t>(place.part)].name);
  }
  const auto* entry = std::ranges::find(kGgufLayerNames, place.part, &PartName::part);
  M2_CHECK(entry != kGgufLayerNames.end(), "no tensor of a GGUF file holds part ",
           static_cast<int>(place.part));
  return ("blk." + std::to_string(place.layer) + ".").append(entry->name);
}

TensorName expert_list_name(Part part, std::int64_t layer, const std::string& experts) {
  const auto& entry = kExpertNames[expert_index(part)];
  return {(layer_prefix(layer).append(kHubBlock) + "experts." + experts + ".").append(entry.name),
          tensor_name({entry.fused, layer}).internal};
}

std::string internal_name(std::string_view name) {
  std::string_view stem = name;
  const bool scale = stem.ends_with(kScaleSuffix);
  if (scale) stem.remove_suffix(kScaleSuffix.size());
  if (const auto place = parse_tensor_name(stem)) {
    return tensor_name(*place).internal.append(scale ? kScaleSuffix : "");
  }
  std::string text(name);
  const auto block = text.find(joined(".", kHubBlock));
  if (block != std::string::npos) text.replace(block + 1, kHubBlock.size(), kInternalBlock);
  return text;
}

}  // namespace m2
