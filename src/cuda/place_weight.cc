#include "cuda/place_weight.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "cuda/int4_layout.h"
#include "cuda/int4_repack.h"
#include "cuda/int8_layout.h"
#include "cuda/int8_units.h"
#include "quant/ggml_format.h"
#include "quant/strip_format.h"
#include "quant/strip_repack.h"

namespace m2::cuda {
namespace {

constexpr auto kPieceBytes = static_cast<std::int64_t>(WeightStore::kPieceBytes);

std::byte* offset(const void* data, std::int64_t bytes) {
  return static_cast<std::byte*>(const_cast<void*>(data)) + bytes;
}

// Strips [first, first + count) of a matrix of the host, which may have to be made.
void read_strips(const WeightView& host, BlockFormat format, std::int64_t first, std::int64_t count,
                 std::byte* to) {
  const std::int64_t strip_bytes = strip_layout(format, host.cols).strip_bytes();
  if (format == host.block_format) {
    const auto bytes = static_cast<std::size_t>(count * strip_bytes);
    std::memcpy(to, offset(host.data, first * strip_bytes), bytes);
    return;
  }
  const std::int64_t row_bytes = ggml_layout(host.block_format).row_bytes(host.cols);
  for (std::int64_t strip = first; strip < first + count; ++strip, to += strip_bytes) {
    const std::int64_t row = strip * kStripRows;
    repack_strip(host.block_format, offset(host.data, row * row_bytes),
                 std::min(kStripRows, host.rows - row), host.cols, format, to);
  }
}

// By pieces of whole strips, which are put into order on the device.
WeightView place_units(const WeightView& host, BlockFormat format, WeightStore& store,
                       Owners& owners) {
  const StripLayout layout = strip_layout(format, host.cols);
  const std::int64_t strip_bytes = layout.strip_bytes();
  const std::int64_t most = kPieceBytes / strip_bytes;
  M2_REQUIRE(ErrorCode::kUnsupported, most > 0, "cuda: weights of ", host.cols, " columns in ",
             block_format_name(host.block_format));
  const std::int64_t num_strips = layout.num_strips(host.rows);
  WeightView placed = host;
  placed.block_format = format;
  placed.data = reserve(store, num_strips * strip_bytes, owners);
  for (std::int64_t first = 0; first < num_strips; first += most) {
    const std::int64_t count = std::min(most, num_strips - first);
    WeightView piece = placed;
    piece.rows = count * kStripRows;
    void* to = offset(placed.data, first * strip_bytes);
    store.add({.num_bytes = static_cast<std::size_t>(count * strip_bytes),
               .read =
                   [=](std::byte* pinned) {
                     read_strips(host, piece.block_format, first, count, pinned);
                   },
               .device = nullptr,
               .use =
                   [=](const void* scratch, const Context& context) {
                     if (is_int8(piece)) return repack_int8(piece, scratch, to, context);
                     repack_int4(piece, scratch, to, context);
                   }});
  }
  return placed;
}

// Rounded to BF16 on the way.
WeightView place_widened(const WeightView& host, WeightStore& store, Owners& owners) {
  WeightView placed = {.dtype = DType::kBF16, .rows = host.rows, .cols = host.cols};
  placed.data = reserve(store, placed.num_bytes(), owners);
  const std::int64_t row_bytes = host.cols * 2;
  const std::int64_t most = kPieceBytes / row_bytes;
  M2_REQUIRE(ErrorCode::kUnsupported, most > 0, "cuda: weights of ", host.cols, " columns in ",
             block_format_name(host.block_format));
  for (std::int64_t first = 0; first < host.rows; first += most) {
    const std::int64_t count = std::min(most, host.rows - first);
    store.add({.num_bytes = static_cast<std::size_t>(count * row_bytes),
               .read =
                   [=](std::byte* pinned) {
                     std::vector<float> row(static_cast<std::size_t>(host.cols));
                     auto* to = reinterpret_cast<bf16*>(pinned);
                     for (std::int64_t i = 0; i < count; ++i, to += host.cols) {
                       decode_row(host, first + i, row.data());
                       std::ranges::transform(row, to, to_bf16);
                     }
                   },
               .device = offset(placed.data, first * row_bytes),
               .use = {}});
  }
  return placed;
}

}  // namespace

void* reserve(WeightStore& store, std::int64_t num_bytes, Owners& owners) {
  const WeightStore::Placed placed = store.reserve(static_cast<std::size_t>(num_bytes));
  if (owners.empty() || owners.back() != placed.slab) owners.push_back(placed.slab);
  return placed.data;
}

WeightView place_weight(const WeightView& host, MatrixUse use, WeightStore& store, Owners& owners) {
  const BlockFormat format = placed_format(host, use);
  if (format != BlockFormat::kNone) return place_units(host, format, store, owners);
  if (host.block_format != BlockFormat::kNone) return place_widened(host, store, owners);
  WeightView placed = host;
  const std::int64_t scale_bytes = host.num_scale_bytes();
  const std::int64_t num_bytes = host.num_bytes() - scale_bytes;
  void* data = reserve(store, num_bytes, owners);
  store.copy(host.data, data, static_cast<std::size_t>(num_bytes));
  placed.data = data;
  if (host.scale == nullptr) return placed;
  void* scale = reserve(store, scale_bytes, owners);
  store.copy(host.scale, scale, static_cast<std::size_t>(scale_bytes));
  placed.scale = static_cast<const float*>(scale);
  return placed;
}

}  // namespace m2::cuda
