#include "model/forward_plan.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "model/forward_masks.h"

namespace m2 {
namespace {

// [B, S] of the call.
Shape token_shape(const ForwardInputs& inputs, const MiniMaxM2Config& config) {
  const bool ids = inputs.input_ids.present();
  M2_REQUIRE(ErrorCode::kInvalidArgument, ids != inputs.inputs_embeds.present(),
             "You must specify exactly one of input_ids or inputs_embeds");
  const Shape& shape = ids ? inputs.input_ids.shape : inputs.inputs_embeds.shape;
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             shape.rank() == (ids ? 2 : 3) && shape[0] > 0 && shape[1] > 0 &&
                 (ids || shape[2] == config.hidden_size),
             ids ? "input_ids: expected [B, S]" : "inputs_embeds: expected [B, S, ",
             ids ? "" : std::to_string(config.hidden_size) + "]",
             " with at least one row of one token, got ", shape);
  return {shape[0], shape[1]};
}

std::vector<std::int32_t> read_token_ids(const TensorView& input_ids, std::int64_t vocab_size) {
  const std::int64_t length = input_ids.shape[1];
  std::vector<std::int32_t> ids;
  ids.reserve(static_cast<std::size_t>(input_ids.num_elements()));
  for (const std::int64_t id : read_integers("input_ids", input_ids)) {
    const auto index = static_cast<std::int64_t>(ids.size());
    M2_REQUIRE(ErrorCode::kInvalidArgument, id >= 0 && id < vocab_size, "input_ids[",
               index / length, "][", index % length, "]: expected a token id below ", vocab_size,
               ", got ", id);
    ids.push_back(static_cast<std::int32_t>(id));
  }
  return ids;
}

Tensor read_embeddings(const TensorView& embeddings) {
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             embeddings.dtype == DType::kF32 || embeddings.dtype == DType::kF16 ||
                 embeddings.dtype == DType::kBF16,
             "inputs_embeds: expected F32, F16 or BF16, got ", dtype_name(embeddings.dtype));
  const Shape& shape = embeddings.shape;
  Tensor tokens(DType::kF32, {shape[0] * shape[1], shape[2]});
  for (std::int64_t i = 0; i < embeddings.num_elements(); ++i) {
    tokens.as<float>()[i] = load_float(embeddings.data, embeddings.dtype, i);
  }
  return tokens;
}

std::vector<std::int64_t> resolve_cache_position(const TensorView& given, std::int64_t length,
                                                 const ForwardContext& context) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(length));
  std::iota(positions.begin(), positions.end(), context.past_length);
  if (given.present()) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, given.shape == Shape{length},
               "cache_position: expected [", length, "], got ", given.shape);
    positions = read_integers("cache_position", given);
  }
  if (context.static_cache) {
    for (const std::int64_t position : positions) {
      M2_REQUIRE(ErrorCode::kInvalidArgument, position >= 0 && position < context.cache_capacity,
                 "cache_position: index ", position, " is out of bounds for the static cache of ",
                 context.cache_capacity, " tokens");
    }
  }
  return positions;
}

std::vector<std::int64_t> resolve_position_ids(const TensorView& given, const Shape& tokens,
                                               const std::vector<std::int64_t>& cache_position) {
  std::vector<std::int64_t> positions = cache_position;
  if (given.present()) {
    M2_REQUIRE(ErrorCode::kInvalidArgument,
               given.shape == tokens || given.shape == Shape({1, tokens[1]}),
               "position_ids: expected ", tokens, " or [1, ", tokens[1], "], got ", given.shape);
    positions = read_integers("position_ids", given);
  }
  const auto one_row = static_cast<std::ptrdiff_t>(tokens[1]);
  positions.reserve(static_cast<std::size_t>(tokens.num_elements()));
  while (std::cmp_less(positions.size(), tokens.num_elements())) {
    std::copy_n(positions.begin(), one_row, std::back_inserter(positions));
  }
  return positions;
}

}  // namespace

std::vector<std::int64_t> read_integers(const char* name, const TensorView& view) {
  if (view.dtype == DType::kI64) {
    return {view.as<std::int64_t>(), view.as<std::int64_t>() + view.num_elements()};
  }
  M2_REQUIRE(ErrorCode::kInvalidArgument, view.dtype == DType::kI32, name,
             ": expected I64 or I32, got ", dtype_name(view.dtype));
  return {view.as<std::int32_t>(), view.as<std::int32_t>() + view.num_elements()};
}

ForwardPlan plan_forward(const ForwardInputs& inputs, const MiniMaxM2Config& config,
                         const ForwardContext& context) {
  const Shape tokens = token_shape(inputs, config);
  ForwardPlan plan = {.batch_size = tokens[0], .sequence_length = tokens[1]};
  plan.context_len =
      context.static_cache ? context.cache_capacity : context.past_length + tokens[1];
  M2_REQUIRE(
      ErrorCode::kInvalidArgument,
      std::max(plan.context_len, tokens.num_elements()) <= std::numeric_limits<std::int32_t>::max(),
      "input_ids: ", tokens, " after ", context.past_length, " cached tokens are too many");
  if (inputs.input_ids.present()) {
    plan.token_ids = read_token_ids(inputs.input_ids, config.vocab_size);
  } else {
    plan.embeddings = read_embeddings(inputs.inputs_embeds);
  }
  plan.cache_position = resolve_cache_position(inputs.cache_position, tokens[1], context);
  plan.position_ids = resolve_position_ids(inputs.position_ids, tokens, plan.cache_position);
  plan_masks(inputs.attention_mask, config, context, plan);
  return plan;
}

std::vector<std::int64_t> kept_positions(const ForwardInputs& inputs, std::int64_t length) {
  std::vector<std::int64_t> positions;
  if (const auto* count = std::get_if<std::int64_t>(&inputs.logits_to_keep)) {
    // The slice [-count:] of the reference; a negative count selects from that position on.
    const std::int64_t first = *count > 0 ? length - std::min(*count, length)
                                          : std::min(*count < -length ? length : -*count, length);
    positions.resize(static_cast<std::size_t>(length - first));
    std::iota(positions.begin(), positions.end(), first);
    return positions;
  }
  const TensorView& index = std::get<TensorView>(inputs.logits_to_keep);
  M2_REQUIRE(ErrorCode::kInvalidArgument, index.shape.rank() == 1,
             "logits_to_keep: expected an integer or one dimension, got ", index.shape);
  if (index.dtype == DType::kBool) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, index.shape[0] == length, "logits_to_keep: expected ",
               length, " booleans, got ", index.shape[0]);
    const auto* chosen = static_cast<const std::uint8_t*>(index.data);
    for (std::int64_t s = 0; s < length; ++s) {
      if (chosen[s] != 0) positions.push_back(s);
    }
    return positions;
  }
  positions = read_integers("logits_to_keep", index);
  for (std::int64_t& position : positions) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, position >= -length && position < length,
               "logits_to_keep: index ", position, " is out of bounds for ", length, " positions");
    if (position < 0) position += length;
  }
  return positions;
}

}  // namespace m2
