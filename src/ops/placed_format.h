// What devices with memory of their own make of block formats.
#pragma once

#include "quant/weight_view.h"

namespace m2 {

/// What a matrix is for. Rows of a kProduct may be looked up, too: a tied embedding is both.
enum class MatrixUse { kProduct, kExpert };

/// The block format in which a device keeps a matrix of the host: dense ones of 8 bits and experts
/// of 4 as they are, or in the strip format that holds the same numbers (of Q8_0 and Q4_0), where
/// their sizes allow it; kNone for all else, which is BF16 there if it is in blocks here.
[[nodiscard]] BlockFormat placed_format(const WeightView& host, MatrixUse use);

}  // namespace m2
