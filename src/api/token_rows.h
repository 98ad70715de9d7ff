// Rows of token ids: cut, padded and put into one tensor.
#pragma once

#include <vector>

#include "m2/auto.h"

namespace m2 {

/// Throws kInvalidArgument for options that contradict each other and for rows that do not make a
/// rectangle.
[[nodiscard]] BatchEncoding make_batch(std::vector<std::vector<TokenId>> rows,
                                       const Tokenizer& tokenizer,
                                       const TokenizerCallOptions& options);

/// A row or the rows of a tensor [N] or [R, N] of i64 or i32. Throws kInvalidArgument.
[[nodiscard]] std::vector<std::vector<TokenId>> read_rows(const TensorView& ids);

}  // namespace m2
