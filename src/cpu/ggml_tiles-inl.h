// GGUF's blocks for tiles of many tokens (strip_tiles-inl.h): the rows of a pass by 256 columns are
// unpacked to memory that stays in the first-level cache, in the order of strips of bytes, before
// they meet all tokens. Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>
#include <type_traits>

#include "cpu/ggml_blocks_256-inl.h"
#include "cpu/ggml_dot-inl.h"
#include "cpu/strip_passes-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

constexpr std::int64_t kUnpackedGroups = 8;  // of 32 columns
static_assert(2 * kUnpackedGroups <= kBlockGroups, "PassMemory has room for two scales of a group");

// Codes that were unpacked, a quad a line, for multiply_quads.
template <class Coding>
struct UnpackedDot {
  static constexpr std::int64_t kLineQuads = 1;
  static constexpr std::int64_t kLines = 1;
  using Weights = VU32;
  QuadSum<Coding::kMaxCode> dot;

#if M2_WORD_CODES
  // The offset comes last, so that it takes no register meanwhile.
  HWY_INLINE void start(std::int32_t) { dot.template start<0>(hn::Zero(D32())); }
  HWY_INLINE V32 finish(std::int32_t offset) const {
    return hn::Add(dot.finish(), zero_product<Coding::kZero>(hn::Set(D32(), offset)));
  }
#else
  HWY_INLINE void start(std::int32_t offset) {
    dot.template start<Coding::kZero>(hn::Set(D32(), offset));
  }
  HWY_INLINE V32 finish(std::int32_t) const { return dot.finish(); }
#endif
  HWY_INLINE static Weights load(const std::uint8_t* line) {
    return hn::Load(DU32(), reinterpret_cast<const std::uint32_t*>(line));
  }
  HWY_INLINE void add(const Weights& weights, std::int64_t quad, const std::int8_t* x) {
    dot.add(static_cast<int>(quad), weights, load_quad(x));
  }
};

// Codes of eight bits become words as those of strips do.
template <class Coding>
constexpr bool kUnpackedWords =
    Coding::kMaxCode > 127 && kWideCodes<Codes::kBytes> == Codes::kWords;

// As StripCoding.
template <class Coding>
struct UnpackedCoding {
  using Product =
      std::conditional_t<kUnpackedWords<Coding>, Dot<Codes::kWords>, UnpackedDot<Coding>>;
  static constexpr int kScales = Coding::kScales;
  static constexpr bool kOffsets = Coding::kOffsets;
  static constexpr bool kOneScale = false;
#if HWY_TARGET == HWY_AVX3_DL
  static constexpr int kVectors = 2;
#elif M2_WORD_CODES
  // Longer codes need sums of 32 bits beside those of 16.
  static constexpr int kVectors = kStripVectors > 1 &&
                                          (Coding::kMaxCode <= 15 || kUnpackedWords<Coding>)
                                      ? 2
                                      : 1;
#else
  static constexpr int kVectors = 1;
#endif
};

// Takes the blocks of vector `vector` of a pass to memory.
template <class Coding>
class Unpacker {
 public:
  HWY_INLINE Unpacker(const PassMemory& memory, std::int64_t vector)
      : codes_(memory.codes + vector / kStripVectors * kBlockBytes +
               vector % kStripVectors * kVectorBytes),
        scales_(memory.scales + vector * kRowVector),
        offsets_(memory.offsets + vector * kRowVector) {}
  HWY_INLINE void put_quad(std::int64_t group, std::int64_t quad, VU32 codes) {
    constexpr std::int64_t kLines = UnpackedCoding<Coding>::Product::kLines;
    std::uint8_t* line = codes_ + (group * kQuads + quad) * kLines * kStripLine;
#if M2_WORD_CODES
    if constexpr (kUnpackedWords<Coding>) {
      static_assert(Coding::kZero == 128);
      const hn::Repartition<std::int8_t, D32> d8;
      store_words(hn::BitCast(d8, hn::Xor(codes, hn::Set(DU32(), 0x80808080U))), kStripLine, line);
      return;
    }
#endif
    hn::Store(codes, DU32(), reinterpret_cast<std::uint32_t*>(line));
  }
  HWY_INLINE void put_scale(std::int64_t group, std::int64_t part, V scale) {
    hn::Store(scale, D(), scales_ + (group * Coding::kScales + part) * kPassRows);
  }
  HWY_INLINE void put_offset(std::int64_t group, std::int64_t part, V offset) {
    hn::Store(offset, D(), offsets_ + (group * Coding::kScales + part) * kPassRows);
  }

 private:
  std::uint8_t* codes_;
  float* scales_;
  float* offsets_;
};

// Blocks for tile_pass. What is fetched early are the rows of the next pass, in the order of
// memory.
template <class F>
struct GgmlBlocks {
  using Coding = UnpackedCoding<typename F::Coding>;
  static constexpr std::int64_t kGroups = kUnpackedGroups;
  // Of a row.
  static constexpr std::int64_t kBytes = kGroups * kQuantizedCols / F::kBlockCols * F::kBlockBytes;

  const std::uint8_t* first;  // row
  std::int64_t num_rows;
  const std::uint8_t* next;  // rows that are multiplied after these, or null
  std::int64_t num_groups;   // of 32 columns
  std::int64_t row_bytes;
  std::int64_t per_pass;

  HWY_INLINE GgmlBlocks(const MatmulArgs& args, bool last)
      : num_rows(args.row_end - args.row_begin),
        num_groups(args.weight.cols / kQuantizedCols),
        row_bytes(args.weight.cols / F::kBlockCols * F::kBlockBytes),
        per_pass((num_groups + kGroups - 1) / kGroups) {
    first = static_cast<const std::uint8_t*>(args.weight.data) + args.row_begin * row_bytes;
    next = last ? static_cast<const std::uint8_t*>(args.next_rows) : first;
  }

  HWY_INLINE TileWeights prepare(std::int64_t index, const PassMemory& memory) const {
    const std::int64_t row = index / per_pass * kPassRows;
    const std::int64_t block = index % per_pass;
    const std::int64_t left = num_groups - block * kGroups;
    const std::int64_t count = left < kGroups ? left : kGroups;
    for (std::int64_t v = 0; v < kPassRows / kRowVector; ++v) {
      const std::int64_t rest = num_rows - row - v * kRowVector;
      if (rest > 0) unpack(row + v * kRowVector, rest, block * kBytes, count, {memory, v});
    }
    const std::uint8_t* ahead =
        row + kPassRows < num_rows ? first + (row + kPassRows) * row_bytes : next;
    constexpr std::int64_t kStripBytes = kStripRows * kBytes;
    return {.codes = memory.codes,
            .code_stride = kBlockBytes,
            .scales = memory.scales,
            .offsets = memory.offsets,
            .num_groups = count,
            .ahead = ahead == nullptr ? nullptr : ahead + block * kPassStrips * kStripBytes,
            .ahead_scales = nullptr,
            .ahead_stride = kStripBytes,
            .ahead_bytes = ahead == nullptr ? 0 : kStripBytes / kGroups};
  }

 private:
  HWY_INLINE void unpack(std::int64_t row, std::int64_t rest, std::int64_t offset,
                         std::int64_t count, Unpacker<typename F::Coding> unpacker) const {
    std::uint8_t copy[kRowVector * F::kBlockBytes];
    RowCursor<F> cursor(first + row * row_bytes + offset, row_bytes, rest, copy);
    constexpr std::int64_t kBlock = F::kBlockCols / kQuantizedCols;
    for (std::int64_t group = 0; group < count; group += kBlock) cursor.unpack(group, unpacker);
  }
};

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
