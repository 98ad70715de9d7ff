#include "quant/ggml_format.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "quant/ggml_blocks.h"

namespace m2 {
namespace {

struct Format {
  BlockFormat format;
  GgmlLayout layout;
  void (*decode)(const std::uint8_t* block, float* out);
  void (*encode)(const float* in, std::uint8_t* block) = nullptr;
};

constexpr std::array kFormats = {
    Format{BlockFormat::kQ8_0, {32, 34}, ggml::decode_q8_0, ggml::encode_q8_0},
    Format{BlockFormat::kQ4_0, {32, 18}, ggml::decode_q4_0, ggml::encode_q4_0},
    Format{BlockFormat::kQ4_1, {32, 20}, ggml::decode_q4_1},
    Format{BlockFormat::kQ5_0, {32, 22}, ggml::decode_q5_0},
    Format{BlockFormat::kQ5_1, {32, 24}, ggml::decode_q5_1},
    Format{BlockFormat::kQ2_K, {256, 84}, ggml::decode_q2_k},
    Format{BlockFormat::kQ3_K, {256, 110}, ggml::decode_q3_k},
    Format{BlockFormat::kQ4_K, {256, 144}, ggml::decode_q4_k, ggml::encode_q4_k},
    Format{BlockFormat::kQ5_K, {256, 176}, ggml::decode_q5_k},
    Format{BlockFormat::kQ6_K, {256, 210}, ggml::decode_q6_k, ggml::encode_q6_k},
    Format{BlockFormat::kIQ4_NL, {32, 18}, ggml::decode_iq4_nl},
    Format{BlockFormat::kIQ4_XS, {256, 136}, ggml::decode_iq4_xs},
};

const Format* find_format(BlockFormat format) {
  const auto* found = std::ranges::find(kFormats, format, &Format::format);
  return found == kFormats.end() ? nullptr : found;
}

const Format& format_of(BlockFormat format, std::int64_t cols) {
  const Format* found = find_format(format);
  M2_CHECK(found != nullptr, block_format_name(format), " is no format of GGUF files");
  M2_CHECK(cols % found->layout.block_cols == 0, block_format_name(format), ": rows of ", cols,
           " weights are no whole blocks of ", found->layout.block_cols);
  return *found;
}

// The largest number that a block can hold: an f16 scale times 63, 127 or 128 (Q4_K, Q6_K) would
// reach further, but no scale is larger than the largest weight.
constexpr float kLargestWeight = 65504.0F;

void check_row(BlockFormat format, const float* row, std::int64_t cols) {
  for (std::int64_t col = 0; col < cols; ++col) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, std::fabs(row[col]) <= kLargestWeight,
               block_format_name(format), ": weight ", row[col], " in column ", col, " is beyond ",
               kLargestWeight);
  }
}

}  // namespace

bool is_ggml_format(BlockFormat format) { return find_format(format) != nullptr; }

GgmlLayout ggml_layout(BlockFormat format) { return format_of(format, 0).layout; }

void decode_ggml_row(BlockFormat format, const void* row, std::int64_t cols, float* out) {
  const Format& entry = format_of(format, cols);
  const auto* block = static_cast<const std::uint8_t*>(row);
  for (std::int64_t col = 0; col < cols; col += entry.layout.block_cols) {
    entry.decode(block, out + col);
    block += entry.layout.block_bytes;
  }
}

bool can_encode_ggml(BlockFormat format) {
  const Format* entry = find_format(format);
  return entry != nullptr && entry->encode != nullptr;
}

void encode_ggml_row(BlockFormat format, const float* row, std::int64_t cols, std::byte* out) {
  const Format& entry = format_of(format, cols);
  M2_CHECK(entry.encode != nullptr, block_format_name(format), " cannot be encoded");
  check_row(format, row, cols);
  auto* block = reinterpret_cast<std::uint8_t*>(out);
  for (std::int64_t col = 0; col < cols; col += entry.layout.block_cols) {
    entry.encode(row + col, block);
    block += entry.layout.block_bytes;
  }
}

}  // namespace m2
