#include "ops/random_fill.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "quant/strip_format.h"

namespace m2 {
namespace {

constexpr std::int64_t kChunk = 16;

// The root of the mean square of (1 + u), u even in [0, 1), in units of its power of two, and of
// codes around zero.
constexpr float kMantissaDeviation = 1.5275F;
constexpr float kHalvesDeviation = 0.88F;  // the same over four binades
constexpr float kInt8Deviation = 73.6F;
constexpr float kInt4Deviation = 4.18F;

// The power of two nearest to a ratio.
int nearest_exponent(float ratio) { return static_cast<int>(std::lround(std::log2(ratio))); }

}  // namespace

void check(const RandomFillArgs& args) {
  M2_CHECK(args.num_bytes >= 0 && (args.num_bytes == 0 || args.data != nullptr),
           "random_fill: ", args.num_bytes, " bytes");
  M2_CHECK(reinterpret_cast<std::uintptr_t>(args.data) % kChunk == 0,
           "random_fill: data must be aligned to ", kChunk, " bytes");
  const RandomPattern& pattern = args.pattern;
  M2_CHECK(pattern.strip_bytes % kChunk == 0 && pattern.code_bytes % kChunk == 0,
           "random_fill: strips of ", pattern.strip_bytes, " bytes with ", pattern.code_bytes,
           " of codes");
}

RandomPattern random_pattern(DType dtype, float deviation) {
  const int exponent = nearest_exponent(deviation / kHalvesDeviation);
  switch (dtype) {
    case DType::kF32:
      return {.elements = RandomElements::kF32,
              .exponent = nearest_exponent(deviation / kMantissaDeviation)};
    case DType::kF16:
      return {.elements = RandomElements::kF16, .exponent = std::max(exponent, -11)};
    case DType::kBF16:
      return {.elements = RandomElements::kBF16, .exponent = exponent};
    case DType::kF8E4M3:
      return {.elements = RandomElements::kF8E4M3};
    default:
      fail(ErrorCode::kInternal, "random_fill: elements of type ", dtype_name(dtype));
  }
}

RandomPattern random_pattern(const WeightView& weight, float deviation) {
  if (weight.block_format == BlockFormat::kNone) return random_pattern(weight.dtype, deviation);
  M2_CHECK(is_strip_format(weight.block_format), "random_fill: weights of format ",
           block_format_name(weight.block_format));
  const StripLayout layout = strip_layout(weight.block_format, weight.cols);
  const bool wide = layout.bits == 8;
  const float codes = wide ? kInt8Deviation : kInt4Deviation;
  return {.elements = wide ? RandomElements::kInt8 : RandomElements::kInt4,
          .strip_bytes = layout.strip_bytes(),
          .code_bytes = layout.code_bytes(),
          .scale_exponent = nearest_exponent(deviation / (codes * kMantissaDeviation))};
}

void write_random_chunk(const RandomFillArgs& args, std::int64_t chunk) {
  const auto words = random_chunk(args.pattern, args.seed, chunk);
  const std::int64_t begin = kChunk * chunk;
  std::memcpy(static_cast<std::byte*>(args.data) + begin, words.data(),
              static_cast<std::size_t>(std::min(kChunk, args.num_bytes - begin)));
}

namespace reference {

void random_fill(const RandomFillArgs& args) {
  check(args);
  for (std::int64_t chunk = 0; kChunk * chunk < args.num_bytes; ++chunk) {
    write_random_chunk(args, chunk);
  }
}

}  // namespace reference
}  // namespace m2
