#include "quant/strip_repack.h"

#include <cstring>

#include "base/error.h"
#include "quant/ggml_format.h"
#include "quant/strip_format.h"

namespace m2 {
namespace {

constexpr std::int64_t kScaleBytes = 2;

// Block `index` of a row into the strip.
void place_codes8(const std::byte* codes, std::int64_t row, std::int64_t index, std::byte* strip) {
  for (std::int64_t i = 0; i < 32; ++i) {
    const int code = static_cast<int>(static_cast<std::int8_t>(codes[i])) + 128;
    M2_REQUIRE(ErrorCode::kUnsupported, code > 0, "row ", row, ": q8_0 holds the code -128");
    const std::int64_t col = index * 32 + i;
    strip[col / 4 * kStripLine + 4 * row + col % 4] = static_cast<std::byte>(code);
  }
}

// Byte i of a Q4_0 block holds columns i and i + 16.
void place_codes4(const std::byte* codes, std::int64_t row, std::int64_t index, std::byte* strip) {
  for (std::int64_t i = 0; i < 32; ++i) {
    const std::byte code = i < 16 ? codes[i] & std::byte{15} : codes[i - 16] >> 4;
    const std::int64_t col = index * 32 + i;
    std::byte& place = strip[col / 8 * kStripLine + 4 * row + col % 4];
    place = col % 8 < 4 ? (place & std::byte{0xF0}) | code : (place & std::byte{0x0F}) | code << 4;
  }
}

}  // namespace

bool can_repack(BlockFormat from, BlockFormat to) {
  return (from == BlockFormat::kQ8_0 && to == BlockFormat::kInt8G32) ||
         (from == BlockFormat::kQ4_0 && to == BlockFormat::kInt4G32);
}

void repack_strip(BlockFormat from, const std::byte* rows, std::int64_t num_rows, std::int64_t cols,
                  BlockFormat to, std::byte* strip) {
  M2_CHECK(can_repack(from, to), block_format_name(from), " to ", block_format_name(to));
  const StripLayout layout = strip_layout(to, cols);
  const std::int64_t row_bytes = ggml_layout(from).row_bytes(cols);
  const std::int64_t block_bytes = ggml_layout(from).block_bytes;
  // Rows that are not there have codes of value zero and scales of zero.
  const int zero = layout.bits == 8 ? 0x80 : 0x88;
  std::memset(strip, zero, static_cast<std::size_t>(layout.code_bytes()));
  std::memset(strip + layout.code_bytes(), 0, static_cast<std::size_t>(layout.scale_bytes()));
  for (std::int64_t row = 0; row < num_rows; ++row) {
    for (std::int64_t index = 0; index < layout.num_groups; ++index) {
      const std::byte* block = rows + row * row_bytes + index * block_bytes;
      std::byte* scale = strip + layout.code_bytes() + (index * kStripRows + row) * kScaleBytes;
      std::memcpy(scale, block, kScaleBytes);
      const std::byte* codes = block + kScaleBytes;
      layout.bits == 8 ? place_codes8(codes, row, index, strip)
                       : place_codes4(codes, row, index, strip);
    }
  }
}

}  // namespace m2
