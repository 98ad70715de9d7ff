// Strips times many tokens: passes of a few strips over blocks of columns that stay in the
// first-level cache, with all tiles of a pass of tokens each. Scales are made float32 once a block,
// and 4-bit codes bytes, where a tile cannot do that cheaply by itself. Include only from isa/
// files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/strip_tiles-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

#if HWY_TARGET != HWY_AVX3_DL
// A line of codes as two: 4 bits become bytes, 8 bits words.
template <Codes kCodes>
HWY_INLINE void widen_line(const std::uint8_t* from, std::uint8_t* to) {
  const hn::ScalableTag<std::uint8_t> d8;
  const auto mask = hn::Set(d8, 15);
  const auto bias = hn::Set(d8, kWideBias);
  constexpr auto kStep = static_cast<std::int64_t>(hn::MaxLanes(d8));
  for (std::int64_t i = 0; i < kStripLine; i += kStep) {
    const auto codes = hn::LoadU(d8, from + i);
#if M2_WORD_CODES
    if constexpr (kCodes == Codes::kBytes) {
      const hn::RebindToSigned<decltype(d8)> i8;
      store_words(hn::BitCast(i8, hn::Xor(codes, hn::Set(d8, 128))), kStripLine, to + i);
      continue;
    }
#endif
#if HWY_TARGET == HWY_SCALAR
    const auto high = hn::Set(d8, static_cast<std::uint8_t>(hn::GetLane(codes) >> 4));
#else
    const hn::RepartitionToWide<decltype(d8)> d16;
    const auto high = hn::And(hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, codes))), mask);
#endif
    hn::StoreU(hn::Add(hn::And(codes, mask), bias), d8, to + i);
    hn::StoreU(hn::Add(high, bias), d8, to + kStripLine + i);
  }
}
#endif

// What a pass over the tokens keeps in scratch memory.
struct PassMemory {
  float* sums;          // [kPassTokens, kPassRows]
  float* scales;        // [kBlockGroups, kPassRows]
  float* offsets;       // the same
  std::uint8_t* codes;  // [kPassStrips, kBlockBytes] or, as words, twice; where they are unpacked

  HWY_INLINE explicit PassMemory(float* memory)
      : sums(memory),
        scales(sums + kPassTokens * kPassRows),
        offsets(scales + kBlockGroups * kPassRows),
        codes(reinterpret_cast<std::uint8_t*>(offsets + kBlockGroups * kPassRows)) {}
};

// The blocks of a product in the order in which they are multiplied: those of a pass, then those of
// the next.
struct PassBlocks {
  Strips strips;
  std::int64_t num_strips;
  const std::uint8_t* next;  // strips that are multiplied after these, or null
  std::int64_t per_pass;

  // Whether these are the last tokens that meet the weights.
  HWY_INLINE PassBlocks(const MatmulArgs& args, bool last)
      : strips(strips_of(args.weight, args.row_begin)),
        num_strips((args.row_end - args.row_begin + kStripRows - 1) / kStripRows),
        next(last ? static_cast<const std::uint8_t*>(args.next_rows) : strips.first),
        per_pass((strips.num_groups + kBlockGroups - 1) / kBlockGroups) {}

  // The first strip of a block's pass.
  HWY_INLINE const std::uint8_t* pass(std::int64_t index) const {
    const std::int64_t strip = index / per_pass * kPassStrips;
    if (strip >= num_strips && next != nullptr) {
      return next + (strip - num_strips) * strips.strip_bytes;
    }
    return strips.first + strip * strips.strip_bytes;
  }
  HWY_INLINE std::int64_t group(std::int64_t index) const {
    return index % per_pass * kBlockGroups;
  }
};

// float32 of the scales of a block.
template <bool kOneScale>
HWY_INLINE void decode_scales(const std::uint8_t* from, std::int64_t partner,
                              std::int64_t num_groups, float* out) {
  const D d;
  for (std::int64_t s = 0; s < kPassStrips; ++s) {
    const std::uint8_t* scales = from + s * partner;
    float* to = out + s * kStripRows;
    for (std::int64_t i = 0; i < num_groups; i += kOneScale ? kScaleGroups : 1) {
      for (std::int64_t r = 0; r < kStripVectors; ++r) {
        V scale[1];
        F16Format().decode(scales + r * kRowVector * 2, scale);
        hn::Store(scale[0], d, to + r * kRowVector);
      }
      scales += kScaleBytes;
      to += kPassRows;
    }
  }
}

// A strip without a partner stands in for it; nobody reads those sums.
template <Codes kCodes, bool kOneScale>
HWY_INLINE TileWeights prepare_block(const PassBlocks& blocks, std::int64_t index,
                                     const PassMemory& memory) {
  constexpr std::int64_t kPerScale = kOneScale ? kScaleGroups : 1;
  constexpr std::int64_t kAhead = 2;  // blocks
  const Strips& strips = blocks.strips;
  const std::int64_t group = blocks.group(index);
  const std::int64_t left = strips.num_groups - group;
  const std::int64_t num_groups = left < kBlockGroups ? left : kBlockGroups;
  const std::uint8_t* base = blocks.pass(index);
  const bool lone = index / blocks.per_pass * kPassStrips + 1 == blocks.num_strips;
  const std::int64_t partner = lone ? 0 : strips.strip_bytes;
  const std::uint8_t* ahead = blocks.pass(index + kAhead);
  const std::int64_t ahead_group = blocks.group(index + kAhead);
  decode_scales<kOneScale>(base + strips.code_bytes + group / kPerScale * kScaleBytes, partner,
                           num_groups, memory.scales);
  TileWeights weights = {
      .codes = base + group * strips.group_bytes,
      .code_stride = partner,
      .scales = memory.scales,
      .offsets = nullptr,
      .num_groups = num_groups,
      .ahead = ahead + ahead_group * strips.group_bytes,
      .ahead_scales = ahead + strips.code_bytes + ahead_group / kPerScale * kScaleBytes,
      .ahead_stride = strips.strip_bytes,
      .ahead_bytes = strips.group_bytes};
#if HWY_TARGET != HWY_AVX3_DL
  if constexpr (kWideCodes<kCodes> != kCodes) {
    const std::int64_t num_lines = num_groups * kGroupLines<kCodes>;
    for (std::int64_t s = 0; s < (lone ? 1 : kPassStrips); ++s) {
      for (std::int64_t line = 0; line < num_lines; ++line) {
        widen_line<kCodes>(weights.codes + s * partner + line * kStripLine,
                           memory.codes + s * kBlockBytes + line * 2 * kStripLine);
      }
    }
    weights.codes = memory.codes;
    weights.code_stride = lone ? 0 : kBlockBytes;
  }
#endif
  return weights;
}

// Blocks for tile_pass.
template <Codes kCodes, bool kOneScale>
struct StripBlocks : PassBlocks {
  using Coding = StripCoding<kWideCodes<kCodes>, kOneScale>;
  static constexpr std::int64_t kGroups = kBlockGroups;
  HWY_INLINE StripBlocks(const MatmulArgs& args, bool last) : PassBlocks(args, last) {}

  HWY_INLINE TileWeights prepare(std::int64_t index, const PassMemory& memory) const {
    return prepare_block<kCodes, kOneScale>(*this, index, memory);
  }
};

// Up to kPassTokens tokens, whose tiles begin at x, and kPassRows rows.
template <class Blocks>
void tile_pass(const MatmulArgs& args, const Blocks& blocks, std::int64_t pass,
               std::int64_t first_token, std::int64_t num_tokens, const std::uint8_t* x) {
  const PassMemory memory(args.scratch);
  __builtin_memset(memory.sums, 0,
                   static_cast<std::size_t>(num_tokens * kPassRows) * sizeof(float));
  const TokenTiles tiles(num_tokens, kMostTileTokens);
  for (std::int64_t block = 0; block < blocks.per_pass; ++block) {
    TileWeights weights = blocks.prepare(pass * blocks.per_pass + block, memory);
    for (std::int64_t tile = 0, token = 0; tile < tiles.count; ++tile) {
      const std::int64_t size = tiles.size(tile);
      const std::uint8_t* columns = x + token * token_tile_bytes(args.weight.cols) +
                                    block * (Blocks::kGroups / kScaleGroups) * kTileBytes * size;
      strip_tile_of<typename Blocks::Coding, kMostTileTokens>(size, weights, columns,
                                                              memory.sums + token * kPassRows);
      weights.ahead_bytes = 0;
      token += size;
    }
  }
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    store_sums(args, args.row_begin + pass * kPassRows, kPassRows, first_token + token,
               memory.sums + token * kPassRows);
  }
}

// Calls body(blocks, pass, first token, number of tokens, their tiles) for every pass over the rows
// with every pass of tokens.
template <class Blocks, class Body>
HWY_INLINE void each_pass(const MatmulArgs& args, const Body& body) {
  const std::int64_t num_passes = (args.row_end - args.row_begin + kPassRows - 1) / kPassRows;
  for (std::int64_t token = 0; token < args.num_tokens; token += kPassTokens) {
    const std::int64_t rest = args.num_tokens - token;
    const bool last = rest <= kPassTokens;
    const Blocks blocks(args, last);
    const std::uint8_t* x = args.packed_input + token * token_tile_bytes(args.weight.cols);
    for (std::int64_t pass = 0; pass < num_passes; ++pass) {
      body(blocks, pass, token, last ? rest : kPassTokens, x);
    }
  }
}

template <class Blocks>
void multiply_tiles(const MatmulArgs& args) {
  each_pass<Blocks>(args, [&](const Blocks& blocks, std::int64_t pass, std::int64_t token,
                              std::int64_t count, const std::uint8_t* x)
                              HWY_ATTR { tile_pass(args, blocks, pass, token, count, x); });
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
