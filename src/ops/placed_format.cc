#include "ops/placed_format.h"

#include "quant/strip_format.h"
#include "quant/strip_repack.h"

namespace m2 {
namespace {

constexpr std::int64_t kUnitColumns = 128;  // that a device multiplies together

BlockFormat as_strips(BlockFormat stored) {
  for (const BlockFormat format : {BlockFormat::kInt8G32, BlockFormat::kInt4G32}) {
    if (can_repack(stored, format)) return format;
  }
  return stored;
}

}  // namespace

BlockFormat placed_format(const WeightView& host, MatrixUse use) {
  const BlockFormat format = as_strips(host.block_format);
  const bool whole_units = host.cols % kUnitColumns == 0;
  switch (format) {
    case BlockFormat::kInt8G32:
      return use == MatrixUse::kProduct && whole_units ? format : BlockFormat::kNone;
    case BlockFormat::kInt4G32:
    case BlockFormat::kInt4G128: {
      const bool whole_strips = host.rows % kStripRows == 0;
      return use == MatrixUse::kExpert && whole_units && whole_strips ? format : BlockFormat::kNone;
    }
    default:
      return BlockFormat::kNone;
  }
}

}  // namespace m2
