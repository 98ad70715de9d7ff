// What a forward call of the library computes: its arguments checked, every default filled in.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "m2/config.h"
#include "m2/modeling.h"

namespace m2 {

/// What the defaults of the arguments depend on besides the config.
struct ForwardContext {
  bool eager = false;               // attn_implementation
  bool has_cache = false;           // a cache was passed in or use_cache made one
  bool static_cache = false;        // every call sees all `cache_capacity` slots
  std::int64_t past_length = 0;     // tokens in the cache
  std::int64_t cache_capacity = 0;  // of a static cache
};

/// B rows of S tokens over K keys. Host memory throughout.
struct ForwardPlan {
  std::int64_t batch_size = 0;               // B
  std::int64_t sequence_length = 0;          // S
  std::int64_t context_len = 0;              // K
  std::vector<std::int32_t> token_ids;       // [B * S]; empty with embeddings
  Tensor embeddings;                         // [B * S, H] f32, or absent
  std::vector<std::int64_t> position_ids;    // [B * S]
  std::vector<std::int64_t> cache_position;  // [S]
  // Query t sees the keys key_begin[t] <= c < key_end[t] of its row.
  std::vector<std::int32_t> key_begin;  // [B * S]
  std::vector<std::int32_t> key_end;    // [B * S]
  std::vector<std::uint8_t> key_mask;   // [B, K], 1 = visible; empty when all are
  Tensor mask;                          // [B or 1, Nq or 1, S, K] f32 or bool, or absent
};

/// Throws kInvalidArgument naming the argument, with the reference's words where it has some.
ForwardPlan plan_forward(const ForwardInputs& inputs, const MiniMaxM2Config& config,
                         const ForwardContext& context);

/// The positions, 0 .. length - 1, whose logits are wanted, in their order.
/// Throws kInvalidArgument for indices out of range.
std::vector<std::int64_t> kept_positions(const ForwardInputs& inputs, std::int64_t length);

/// The weight of every token in the load-balancing loss, [B * S]; empty without a mask. Throws
/// kInvalidArgument for a mask that does not have the shape of the tokens.
std::vector<float> aux_loss_weights(const TensorView& attention_mask, const Shape& tokens);

/// The elements of an i64 or i32 array. `name` is the argument in messages.
std::vector<std::int64_t> read_integers(const char* name, const TensorView& view);

}  // namespace m2
