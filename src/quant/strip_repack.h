// From formats of GGUF files to strips without a change of any value.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/block_format.h"

namespace m2 {

/// Q8_0 to int8_g32 and Q4_0 to int4_g32: the same groups, codes and scales in another order.
[[nodiscard]] bool can_repack(BlockFormat from, BlockFormat to);

/// Up to sixteen rows of `from`, one after the other, into one strip of `to`. Throws
/// kUnsupported for the code -128, which strips do not have (and no encoder gives).
void repack_strip(BlockFormat from, const std::byte* rows, std::int64_t num_rows, std::int64_t cols,
                  BlockFormat to, std::byte* strip);

}  // namespace m2
