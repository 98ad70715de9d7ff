// Padded batches of token ids as JSON files hold them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "m2/modeling.h"

namespace m2 {

/// A padded batch of B rows of S tokens. Empty vectors are absent arguments.
struct BatchInputs {
  std::int64_t batch_size = 0;               // B
  std::int64_t sequence_length = 0;          // S
  std::vector<std::int32_t> input_ids;       // [B * S]
  std::vector<std::uint8_t> attention_mask;  // [B * S], 1 = real token
  std::vector<std::int64_t> position_ids;    // [B * S]
  std::vector<std::int64_t> labels;          // [B * S], -100 where there is none

  /// Views of these vectors as arguments of a forward pass that keeps no cache.
  [[nodiscard]] ForwardInputs forward_inputs() const;
  /// The prompts, mask and positions as arguments of generate().
  [[nodiscard]] GenerateInputs generate_inputs() const;
};

/// Reads {"input_ids": rows, "attention_mask"?, "position_ids"?, "labels"?}, every value a list of
/// rows of the same length (one row may stand alone, without the outer list). `name` is the file
/// in messages. Throws kInvalidArgument naming the key, row and column of what does not fit.
BatchInputs parse_batch_inputs(std::string_view json, const std::string& name);

}  // namespace m2
