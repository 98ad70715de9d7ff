#include "model/forward_masks.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

// Element `index` of a mask of any type that one may have.
float mask_value(const TensorView& mask, std::int64_t index) {
  switch (mask.dtype) {
    case DType::kI64:
      return static_cast<float>(mask.as<std::int64_t>()[index]);
    case DType::kI32:
      return static_cast<float>(mask.as<std::int32_t>()[index]);
    case DType::kU8:
    case DType::kBool:
      return static_cast<const std::uint8_t*>(mask.data)[index];
    case DType::kI8:
      return static_cast<const std::int8_t*>(mask.data)[index];
    case DType::kI16:
      return static_cast<const std::int16_t*>(mask.data)[index];
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
      return load_float(mask.data, mask.dtype, index);
    default:
      fail(ErrorCode::kInvalidArgument, "attention_mask: type ", dtype_name(mask.dtype),
           " is not supported");
  }
}

// [B, M] of any length M as [B, K]: cut, or extended with hidden keys.
std::vector<std::uint8_t> key_mask_of(const TensorView& mask, const ForwardPlan& plan) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, mask.shape[0] == plan.batch_size,
             "attention_mask: expected ", plan.batch_size, " rows, got ", mask.shape);
  const std::int64_t length = mask.shape[1];
  const std::int64_t used = std::min(length, plan.context_len);
  std::vector<std::uint8_t> keys(static_cast<std::size_t>(plan.batch_size * plan.context_len), 0);
  for (std::int64_t row = 0; row < plan.batch_size; ++row) {
    for (std::int64_t key = 0; key < used; ++key) {
      keys[static_cast<std::size_t>(row * plan.context_len + key)] =
          mask_value(mask, row * length + key) != 0 ? 1 : 0;
    }
  }
  if (std::ranges::count(keys, 0) == 0) keys.clear();
  return keys;
}

// [B or 1, Nq or 1, S, K] as it is, with broadcast queries and keys written out.
Tensor full_mask_of(const TensorView& mask, std::int64_t num_heads, const ForwardPlan& plan) {
  const Shape& shape = mask.shape;
  const auto fits = [&](int axis, std::int64_t size) {
    return shape[axis] == 1 || shape[axis] == size;
  };
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             fits(0, plan.batch_size) && fits(1, num_heads) && fits(2, plan.sequence_length) &&
                 (shape[3] == 1 || shape[3] >= plan.context_len),
             "attention_mask: expected [", plan.batch_size, " or 1, ", num_heads, " or 1, ",
             plan.sequence_length, ", ", plan.context_len, "], got ", shape);
  const bool is_bool = mask.dtype == DType::kBool;
  M2_REQUIRE(ErrorCode::kInvalidArgument, is_bool || is_floating(mask.dtype),
             "attention_mask: expected BOOL or floating numbers in four dimensions, got ",
             dtype_name(mask.dtype));
  Tensor full(is_bool ? DType::kBool : DType::kF32,
              {shape[0], shape[1], plan.sequence_length, plan.context_len});
  for (std::int64_t outer = 0; outer < shape[0] * shape[1]; ++outer) {
    for (std::int64_t s = 0; s < plan.sequence_length; ++s) {
      const std::int64_t from = (outer * shape[2] + (shape[2] == 1 ? 0 : s)) * shape[3];
      const std::int64_t to = (outer * plan.sequence_length + s) * plan.context_len;
      for (std::int64_t key = 0; key < plan.context_len; ++key) {
        const float value = mask_value(mask, from + (shape[3] == 1 ? 0 : key));
        if (is_bool) {
          static_cast<std::uint8_t*>(full.view().data)[to + key] = value != 0 ? 1 : 0;
        } else {
          full.as<float>()[to + key] = value;
        }
      }
    }
  }
  return full;
}

// Query t sees the keys up to its own index in the cache.
void plan_causal(const ForwardContext& context, ForwardPlan& plan) {
  const std::int64_t length = plan.sequence_length;
  // Where "sdpa" needs no mask it asks its kernel for the causal rule, which counts from the first
  // key whatever cache_position says.
  const bool mask_free = !context.eager && !context.static_cache && plan.key_mask.empty() &&
                         (length == 1 || plan.context_len == length);
  for (std::int64_t i = 0; i < plan.batch_size * length; ++i) {
    const std::int64_t s = i % length;
    std::int64_t end = plan.cache_position[static_cast<std::size_t>(s)] + 1;
    if (mask_free) end = length == 1 ? plan.context_len : s + 1;
    plan.key_end.push_back(
        static_cast<std::int32_t>(std::clamp<std::int64_t>(end, 0, plan.context_len)));
  }
}

// A document starts wherever a position is not the one before plus 1; true if a row has several.
bool plan_documents(ForwardPlan& plan) {
  bool several = false;
  for (std::size_t i = 0; i < plan.position_ids.size(); ++i) {
    const auto s = static_cast<std::int32_t>(i % static_cast<std::size_t>(plan.sequence_length));
    const bool same = s > 0 && plan.position_ids[i] == plan.position_ids[i - 1] + 1;
    plan.key_begin[i] = s == 0 ? 0 : same ? plan.key_begin[i - 1] : s;
    several = several || plan.key_begin[i] > 0;
  }
  return several;
}

}  // namespace

void plan_masks(const TensorView& attention_mask, const MiniMaxM2Config& config,
                const ForwardContext& context, ForwardPlan& plan) {
  const auto num_tokens = static_cast<std::size_t>(plan.batch_size * plan.sequence_length);
  plan.key_begin.assign(num_tokens, 0);
  const int rank = attention_mask.present() ? attention_mask.shape.rank() : 0;
  M2_REQUIRE(ErrorCode::kInvalidArgument, rank == 0 || rank == 2 || rank == 4,
             "attention_mask: expected two or four dimensions, got ", attention_mask.shape);
  if (rank == 4) {
    plan.mask = full_mask_of(attention_mask, config.num_attention_heads, plan);
    plan.key_end.assign(num_tokens, static_cast<std::int32_t>(plan.context_len));
    return;
  }
  if (rank == 2) plan.key_mask = key_mask_of(attention_mask, plan);
  const bool packed = rank == 0 && !context.has_cache && plan_documents(plan);
  if (packed) {
    for (std::size_t i = 0; i < num_tokens; ++i) {
      const auto s = i % static_cast<std::size_t>(plan.sequence_length);
      plan.key_end.push_back(static_cast<std::int32_t>(
          std::clamp<std::int64_t>(plan.cache_position[s] + 1, 0, plan.context_len)));
    }
  } else {
    plan_causal(context, plan);
  }
}

std::vector<float> aux_loss_weights(const TensorView& attention_mask, const Shape& tokens) {
  if (!attention_mask.present()) return {};
  M2_REQUIRE(ErrorCode::kInvalidArgument, attention_mask.shape == tokens,
             "attention_mask: the auxiliary loss needs the shape of the tokens, ", tokens, ", got ",
             attention_mask.shape);
  std::vector<float> weights;
  weights.reserve(static_cast<std::size_t>(tokens.num_elements()));
  for (std::int64_t i = 0; i < tokens.num_elements(); ++i) {
    weights.push_back(mask_value(attention_mask, i));
  }
  return weights;
}

}  // namespace m2
