// Padded batches of token ids as JSON files hold them.
#pragma once

#include <string>
#include <string_view>

#include "model/causal_lm.h"

namespace m2 {

/// Reads {"input_ids": rows, "attention_mask"?, "position_ids"?, "labels"?}, every value a list of
/// rows of the same length (one row may stand alone, without the outer list). `name` is the file
/// in messages. Throws kInvalidArgument naming the key, row and column of what does not fit.
CausalLmInputs parse_batch_inputs(std::string_view json, const std::string& name);

}  // namespace m2
