#include "model/saved_tensors.h"

#include <algorithm>
#include <functional>
#include <span>
#include <utility>

#include "base/error.h"
#include "checkpoint/checkpoint.h"
#include "model/initial_values.h"
#include "model/weight_names.h"

namespace m2 {
namespace {

using Sink = SafetensorsWriter::Sink;

std::span<const std::byte> bytes_of(const void* data, std::int64_t count) {
  return {static_cast<const std::byte*>(data), static_cast<std::size_t>(count)};
}

// Elements as `dtype`, a piece at a time.
void write_as(const void* data, DType stored, DType dtype, std::int64_t count, const Sink& sink) {
  const auto size = static_cast<std::int64_t>(dtype_size(dtype));
  if (stored == dtype) {
    sink(bytes_of(data, count * size));
    return;
  }
  constexpr std::int64_t kPiece = 1 << 16;
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min(kPiece, count) * size));
  for (std::int64_t begin = 0; begin < count; begin += kPiece) {
    const std::int64_t length = std::min(kPiece, count - begin);
    for (std::int64_t i = 0; i < length; ++i) {
      store_float(piece.data(), dtype, i, load_float(data, stored, begin + i));
    }
    sink(bytes_of(piece.data(), length * size));
  }
}

std::int64_t scale_rows(const WeightView& view) {
  return (view.rows + view.block_rows - 1) / view.block_rows;
}

std::int64_t scale_count(const WeightView& view) { return scale_rows(view) * view.scale_cols(); }

class TensorList {
 public:
  TensorList(const ModelWeights& weights, const SaveWeightsOptions& options)
      : weights_(weights), options_(options) {}

  std::vector<SavedTensor> make() {
    if (options_.hub_names) {
      add_head();
      matrix({Part::kEmbedTokens}, weights_.embed_tokens);
      for (std::int64_t layer = 0; layer < num_layers(); ++layer) add_hub_layer(layer);
      vector({Part::kNorm}, weights_.norm);
    } else {
      matrix({Part::kEmbedTokens}, weights_.embed_tokens);
      for (std::int64_t layer = 0; layer < num_layers(); ++layer) add_internal_layer(layer);
      vector({Part::kNorm}, weights_.norm);
      add_head();
    }
    return std::move(tensors_);
  }

 private:
  using Member = WeightView ExpertWeights::*;

  [[nodiscard]] std::int64_t num_layers() const { return std::ssize(weights_.layers); }
  [[nodiscard]] const LayerWeights& layer_at(std::int64_t layer) const {
    return weights_.layers[static_cast<std::size_t>(layer)];
  }

  void add_head() {
    if (options_.head && !weights_.tied) matrix({Part::kLmHead}, weights_.lm_head);
  }

  void add_hub_layer(std::int64_t layer) {
    const LayerWeights& weights = layer_at(layer);
    vector({Part::kInputNorm, layer}, weights.input_norm);
    vector({Part::kCorrectionBias, layer}, weights.correction_bias);
    experts(layer, {{Part::kExpertDown, &ExpertWeights::down}});
    experts(layer,
            {{Part::kExpertGate, &ExpertWeights::gate}, {Part::kExpertUp, &ExpertWeights::up}});
    matrix({Part::kGate, layer}, weights.gate);
    vector({Part::kPostAttentionNorm, layer}, weights.post_attention_norm);
    vector({Part::kKNorm, layer}, weights.k_norm);
    matrix({Part::kK, layer}, weights.k);
    matrix({Part::kAttnOut, layer}, weights.attn_out);
    vector({Part::kQNorm, layer}, weights.q_norm);
    matrix({Part::kQ, layer}, weights.q);
    matrix({Part::kV, layer}, weights.v);
  }

  void add_internal_layer(std::int64_t layer) {
    const LayerWeights& weights = layer_at(layer);
    matrix({Part::kQ, layer}, weights.q);
    matrix({Part::kK, layer}, weights.k);
    matrix({Part::kV, layer}, weights.v);
    matrix({Part::kAttnOut, layer}, weights.attn_out);
    vector({Part::kQNorm, layer}, weights.q_norm);
    vector({Part::kKNorm, layer}, weights.k_norm);
    vector({Part::kCorrectionBias, layer}, weights.correction_bias);
    matrix({Part::kGate, layer}, weights.gate);
    fused(Part::kFusedGateUp, layer, {&ExpertWeights::gate, &ExpertWeights::up});
    fused(Part::kFusedDown, layer, {&ExpertWeights::down});
    vector({Part::kInputNorm, layer}, weights.input_norm);
    vector({Part::kPostAttentionNorm, layer}, weights.post_attention_norm);
  }

  // Weights of all experts first, then their scales, as the fused tensors are ordered.
  void experts(std::int64_t layer, std::vector<std::pair<Part, Member>> parts) {
    const auto& list = layer_at(layer).experts;
    for (const bool scale : {false, true}) {
      bool begun = false;
      for (const auto& [part, member] : parts) {
        for (std::size_t e = 0; e < list.size(); ++e) {
          const Place place{part, layer, static_cast<std::int64_t>(e)};
          same_storage_ = begun;
          scale ? scales(place, list[e].*member) : elements(place, list[e].*member);
          begun = true;
        }
      }
      same_storage_ = false;
    }
  }

  void matrix(const Place& place, const WeightView& view) {
    elements(place, view);
    scales(place, view);
  }

  void elements(const Place& place, const WeightView& view) {
    const DType dtype = logical(view.data, view.dtype);
    add(name(place), dtype, {view.rows, view.cols},
        [view, dtype](const Sink& sink) { write_matrix(view, dtype, sink); });
    tensors_.back().block_format = view.block_format;
    tensors_.back().place = place;
    tensors_.back().view = view;
  }

  static void write_matrix(const WeightView& view, DType dtype, const Sink& sink) {
    if (view.block_format != BlockFormat::kNone) return sink(bytes_of(view.data, view.num_bytes()));
    write_as(view.data, view.dtype, dtype, view.rows * view.cols, sink);
  }

  void scales(const Place& place, const WeightView& view) {
    if (view.scale == nullptr) return;
    add(name(place).append(kScaleSuffix), DType::kF32, {scale_rows(view), view.scale_cols()},
        [view](const Sink& sink) { sink(scale_bytes(view)); });
  }

  static std::span<const std::byte> scale_bytes(const WeightView& view) {
    return bytes_of(view.scale, scale_count(view) * static_cast<std::int64_t>(sizeof(float)));
  }

  void vector(const Place& place, const TensorView& view) {
    const DType dtype = logical(view.data, view.dtype);
    add(name(place), dtype, view.shape, [view, dtype](const Sink& sink) {
      write_as(view.data, view.dtype, dtype, view.num_elements(), sink);
    });
    tensors_.back().place = place;
    tensors_.back().view = {view.data, view.dtype, 1, view.num_elements()};
  }

  // One tensor of all experts: for each of them the members below each other.
  void fused(Part part, std::int64_t layer, std::vector<Member> members) {
    const auto& list = layer_at(layer).experts;
    const WeightView& first = list.front().*members.front();
    const DType dtype = logical(first.data, first.dtype);
    check_fusable(part, layer, members);
    const auto factor = std::ssize(members);
    const auto count = std::ssize(list);
    add(name({part, layer}), dtype, {count, factor * first.rows, first.cols},
        [&list, members, dtype](const Sink& sink) {
          for (const ExpertWeights& expert : list) {
            for (const Member member : members) write_matrix(expert.*member, dtype, sink);
          }
        });
    tensors_.back().block_format = first.block_format;
    if (first.scale == nullptr) return;
    add(name({part, layer}).append(kScaleSuffix), DType::kF32,
        {count, factor * scale_rows(first), first.scale_cols()},
        [&list, members](const Sink& sink) {
          for (const ExpertWeights& expert : list) {
            for (const Member member : members) sink(scale_bytes(expert.*member));
          }
        });
  }

  void check_fusable(Part part, std::int64_t layer, const std::vector<Member>& members) const {
    const auto& list = layer_at(layer).experts;
    const WeightView& first = list.front().*members.front();
    for (const ExpertWeights& expert : list) {
      for (const Member member : members) {
        const WeightView& view = expert.*member;
        M2_REQUIRE(ErrorCode::kUnsupported,
                   logical(view.data, view.dtype) == logical(first.data, first.dtype) &&
                       view.block_format == first.block_format,
                   "save: ", tensor_name({part, layer}).internal,
                   ": its experts have different types; save with the hub's names");
      }
    }
    M2_REQUIRE(ErrorCode::kUnsupported,
               first.scale == nullptr || members.size() == 1 || first.rows % first.block_rows == 0,
               "save: ", tensor_name({part, layer}).internal, ": blocks of ", first.block_rows,
               " rows do not divide the ", first.rows,
               " rows of an expert; save with the hub's names");
    M2_REQUIRE(ErrorCode::kUnsupported,
               first.block_format == BlockFormat::kNone || members.size() == 1 || can_stack(first),
               "save: ", tensor_name({part, layer}).internal, ": ",
               block_format_name(first.block_format), " pads the ", first.rows,
               " rows of an expert; save with the hub's names");
  }

  [[nodiscard]] DType logical(const void* data, DType stored) const {
    const auto found = weights_.logical_dtypes.find(data);
    return found == weights_.logical_dtypes.end() ? stored : found->second;
  }

  [[nodiscard]] std::string name(const Place& place) const {
    const TensorName names = tensor_name(place);
    std::string text = options_.hub_names ? names.hub : names.internal;
    constexpr std::string_view kPrefix = "model.";
    return !options_.head && text.starts_with(kPrefix) ? text.substr(kPrefix.size()) : text;
  }

  void add(std::string name, DType dtype, const Shape& shape,
           SafetensorsWriter::Producer producer) {
    if (!same_storage_) ++storage_;
    tensors_.push_back({std::move(name), dtype, shape, std::move(producer), storage_});
  }

  const ModelWeights& weights_;
  const SaveWeightsOptions& options_;
  std::vector<SavedTensor> tensors_;
  std::int64_t storage_ = 0;
  bool same_storage_ = false;  // the next tensor belongs to the one before it
};

}  // namespace

std::int64_t SavedTensor::num_bytes() const {
  if (block_format != BlockFormat::kNone) return block_stack_bytes(block_format, shape);
  return shape.num_elements() * static_cast<std::int64_t>(dtype_size(dtype));
}

void keep_experts_together(std::vector<SavedTensor>& tensors) {
  std::ranges::sort(tensors, [](const SavedTensor& a, const SavedTensor& b) {
    return natural_less(a.name, b.name);
  });
  std::int64_t storage = 0;
  const SavedTensor* before = nullptr;
  const auto joins = [](const SavedTensor& a, const SavedTensor& b) {
    return a.place.expert >= 0 && a.place.expert == b.place.expert &&
           a.place.layer == b.place.layer && a.block_format != BlockFormat::kNone &&
           b.block_format != BlockFormat::kNone;
  };
  for (SavedTensor& tensor : tensors) {
    tensor.storage = before != nullptr && joins(*before, tensor) ? storage : ++storage;
    before = &tensor;
  }
}

std::vector<SavedTensor> saved_tensors(const ModelWeights& weights,
                                       const SaveWeightsOptions& options) {
  std::vector<SavedTensor> tensors = TensorList(weights, options).make();
  const bool blocks = std::ranges::any_of(
      tensors, [](const SavedTensor& tensor) { return tensor.block_format != BlockFormat::kNone; });
  if (blocks && options.hub_names) keep_experts_together(tensors);
  return tensors;
}

}  // namespace m2
