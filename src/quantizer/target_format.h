// What a tensor becomes in a conversion.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "m2/dtype.h"
#include "quant/block_format.h"

namespace m2 {

/// An element type, a block format, or neither: what the tensor was.
struct TargetFormat {
  std::optional<DType> dtype;
  BlockFormat block_format = BlockFormat::kNone;

  [[nodiscard]] bool is_stored() const { return !dtype && !is_blocks(); }
  [[nodiscard]] bool is_blocks() const { return block_format != BlockFormat::kNone; }
  friend bool operator==(const TargetFormat&, const TargetFormat&) = default;
};

/// "stored", "f32", "bf16", "f16" or the name of a block format that can be encoded. Throws
/// kInvalidArgument that lists them.
TargetFormat parse_target_format(std::string_view name);
std::string_view target_format_name(const TargetFormat& format);

}  // namespace m2
