// The names of tensors in checkpoints: the hub's (an own tensor for each expert's matrix), the
// internal ones (fused experts) and those of GGUF files (stacked experts).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace m2 {

/// What a tensor is: first those of the model, then those of a layer, then those of an expert.
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
  kFusedDown,    // in GGUF files, too
  kStackedGate,  // GGUF only
  kStackedUp,    // GGUF only
  kExpertGate,
  kExpertUp,
  kExpertDown,
};
inline constexpr std::size_t kNumModelParts = 3;
inline constexpr std::size_t kNumLayerParts = 14;
inline constexpr std::size_t kNumExpertParts = 3;

/// Position of a layer's part among those of a layer; of an expert's among those of an expert.
std::size_t layer_index(Part part);
std::size_t expert_index(Part part);
Part expert_part(std::size_t index);
/// The fused tensor that holds a part of an expert.
Part fused_part(Part expert_part);
/// The tensor that holds this part of all experts and nothing else.
Part stacked_part(Part expert_part);

/// Block scales have the name of their weight and this.
inline constexpr std::string_view kScaleSuffix = "_scale_inv";

struct Place {
  Part part;
  std::int64_t layer = -1;
  std::int64_t expert = -1;
};

/// The names of one tensor; for an expert's matrix the internal one is that of the fused tensor.
struct TensorName {
  std::string hub;
  std::string internal;

  /// "hub (internal)", the second only where it differs, each with `suffix`.
  [[nodiscard]] std::string both(std::string_view suffix = {}) const;
};

/// Understands hub and internal names, with or without the leading "model.", without the suffix of
/// scales, and the names of GGUF files.
std::optional<Place> parse_tensor_name(std::string_view name);

TensorName tensor_name(const Place& place);
/// As GGUF files call it. There is none for kFusedGateUp and single experts.
std::string gguf_name(const Place& place);
/// Several experts of a layer: `experts` is "{0, 3}".
TensorName expert_list_name(Part part, std::int64_t layer, const std::string& experts);

/// The internal form of any name, understood or not.
std::string internal_name(std::string_view name);

}  // namespace m2
