// Encoding of strips, eight rows at a time: every lane of a vector is a row, so sums over a group
// need no shuffles and the codes leave in the order of the strip. The compiler makes the vectors of
// whatever registers there are; the results are the same to the bit.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "m2/dtype.h"
#include "quant/strip_format.h"

#define M2_INLINE inline __attribute__((always_inline))

namespace m2 {
namespace {

constexpr std::int64_t kMostGroup = 128;
constexpr std::int64_t kLanes = 8;
constexpr std::int64_t kHalves = kStripRows / kLanes;

using Lanes = float __attribute__((vector_size(4 * kLanes)));
using Words = std::uint32_t __attribute__((vector_size(4 * kLanes)));

// The values of one group of all rows, absent ones zero.
struct Group {
  alignas(32) std::array<std::array<Lanes, kHalves>, kMostGroup> values;  // [group_size]
  std::int64_t size = 0;
};

// The scales of a group for one half of the rows.
struct Scales {
  Lanes value;
  Lanes inverse;  // 0 where the scale is
};

M2_INLINE void clamp_and_round(Lanes& x, float least, float most) {
  const Lanes low = Lanes{} + least;
  const Lanes high = Lanes{} + most;
  x = x < low ? low : x;
  x = x > high ? high : x;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: beyond it there are no fractions
  x = (x + kRound) - kRound;
}

// The value of the largest magnitude of every row, with its sign.
M2_INLINE void find_largest(const Group& group, std::int64_t half, Lanes& largest) {
  Lanes magnitude = {};
  largest = Lanes{};
  for (std::int64_t i = 0; i < group.size; ++i) {
    const Lanes value = group.values[i][half];
    const Lanes size = value < 0 ? -value : value;
    largest = size > magnitude ? value : largest;
    magnitude = size > magnitude ? size : magnitude;
  }
}

// For codes q of the values times `inverse`: sums of q * value and of q * q.
struct Fit {
  Lanes dot = {};
  Lanes norm = {};

  M2_INLINE void add(const Lanes& value, const Lanes& inverse) {
    Lanes q = value * inverse;
    clamp_and_round(q, -8.0F, 7.0F);
    dot += q * value;
    norm += q * q;
  }
  // The scale of least squared error for these codes is dot / norm; it takes dot^2 / norm from the
  // error.
  M2_INLINE void keep_better(Lanes& gain, Lanes& scale) const {
    const Lanes least = Lanes{} + 1.0F;  // no code but zeros: dot is 0 too
    const Lanes fitted = dot / (norm < least ? least : norm);
    const Lanes own_gain = fitted * dot;
    scale = own_gain > gain ? fitted : scale;
    gain = own_gain > gain ? own_gain : gain;
  }
};

// The value of the largest magnitude goes to -8 or near it (the range of codes is not symmetric);
// clipping it a little often lowers the error of all others by more. Ten places for it are tried,
// each with the scale that fits its codes best. On normal values the error is within 0.1 % (groups
// of 32) and 0.7 % (of 128) of the best among 1,200 scales of both signs.
M2_INLINE void search_scales4(const Group& group, std::int64_t half, Lanes& scale) {
  constexpr int kTries = 10;
  constexpr float kFirst = 5.2F;
  constexpr float kStep = 0.4F;
  constexpr float kSmallest = 1e-7F;  // below it the scale is no f16 but zero
  Lanes largest;
  find_largest(group, half, largest);
  const Lanes size = largest < 0 ? -largest : largest;
  const Lanes inverse = size < kSmallest ? Lanes{} : -1.0F / largest;
  Lanes gain = {};
  scale = Lanes{};
  for (int i = 0; i < kTries; i += 2) {
    const Lanes first = inverse * (kFirst + kStep * static_cast<float>(i));
    const Lanes second = inverse * (kFirst + kStep * static_cast<float>(i + 1));
    Fit fits[2];
    for (std::int64_t k = 0; k < group.size; ++k) {
      fits[0].add(group.values[k][half], first);
      fits[1].add(group.values[k][half], second);
    }
    fits[0].keep_better(gain, scale);
    fits[1].keep_better(gain, scale);
  }
}

template <int kBits>
M2_INLINE void choose_scales(const Group& group, std::int64_t half, Lanes& scale) {
  if constexpr (kBits == 4) {
    search_scales4(group, half, scale);
  } else {
    find_largest(group, half, scale);
    scale = (scale < 0 ? -scale : scale) / 127.0F;
  }
}

// Rounds scales to f16, puts them into `stored` [8] and reads them back.
M2_INLINE void store_scales(const Lanes& scale, std::byte* stored, Scales& scales) {
  constexpr float kLargest = 65504.0F;
  for (std::int64_t lane = 0; lane < kLanes; ++lane) {
    const f16 rounded = to_f16(std::clamp(scale[lane], -kLargest, kLargest));
    std::memcpy(stored + 2 * lane, &rounded, 2);
    scales.value[lane] = to_float(rounded);
  }
  scales.inverse = scales.value == 0.0F ? Lanes{} : 1.0F / scales.value;
}

// A line of codes: four columns of 8 bits or eight of 4, as 32 bits of every row.
template <int kBits>
M2_INLINE void store_line(const Group& group, std::int64_t half, std::int64_t col,
                          const Lanes& inverse, std::byte* line) {
  constexpr float kMost = kBits == 8 ? 127.0F : 7.0F;
  constexpr float kLeast = kBits == 8 ? -127.0F : -8.0F;
  constexpr float kZero = kBits == 8 ? 128.0F : 8.0F;
  Words words = {};
  for (std::int64_t i = 0; i < 32 / kBits; ++i) {
    Lanes q = group.values[col + i][half] * inverse;
    clamp_and_round(q, kLeast, kMost);
    const Words code = __builtin_convertvector(q + kZero, Words);
    words |= code << static_cast<std::uint32_t>(i < 4 ? 8 * i : 8 * (i - 4) + 4);
  }
  std::memcpy(line, &words, sizeof(words));
}

M2_INLINE void load_group(const float* rows, std::int64_t num_rows, std::int64_t cols,
                          std::int64_t begin, Group& group) {
  const std::int64_t count = std::min(group.size, cols - begin);
  if (count < group.size || num_rows < kStripRows) group.values.fill({});
  for (std::int64_t row = 0; row < num_rows; ++row) {
    const float* from = rows + row * cols + begin;
    auto* to = reinterpret_cast<float*>(group.values.data()) + row;
    for (std::int64_t i = 0; i < count; ++i) std::memcpy(to + i * kStripRows, from + i, 4);
  }
}

template <int kBits>
M2_INLINE void encode_groups(const StripLayout& layout, const float* rows, std::int64_t num_rows,
                             std::int64_t cols, std::byte* strip) {
  Group group;
  group.size = layout.group_size;
  std::byte* line = strip;
  std::byte* stored = strip + layout.code_bytes();
  for (std::int64_t index = 0; index < layout.num_groups; ++index) {
    load_group(rows, num_rows, cols, index * group.size, group);
    for (std::int64_t half = 0; half < kHalves; ++half) {
      Lanes scale;
      Scales scales;
      choose_scales<kBits>(group, half, scale);
      store_scales(scale, stored + (index * kStripRows + half * kLanes) * 2, scales);
      for (std::int64_t col = 0; col < group.size; col += 32 / kBits) {
        store_line<kBits>(group, half, col, scales.inverse,
                          line + col * kBits / 32 * kStripLine + half * (kStripLine / kHalves));
      }
    }
    line += group.size * kBits / 32 * kStripLine;
  }
}

using Encoder = void (*)(const StripLayout&, const float*, std::int64_t, std::int64_t, std::byte*);

template <int kBits>
void encode_portable(const StripLayout& layout, const float* rows, std::int64_t num_rows,
                     std::int64_t cols, std::byte* strip) {
  encode_groups<kBits>(layout, rows, num_rows, cols, strip);
}

#if defined(__x86_64__)
template <int kBits>
__attribute__((target("avx2"))) void encode_avx2(const StripLayout& layout, const float* rows,
                                                 std::int64_t num_rows, std::int64_t cols,
                                                 std::byte* strip) {
  encode_groups<kBits>(layout, rows, num_rows, cols, strip);
}

template <int kBits>
Encoder choose_encoder() {
  return __builtin_cpu_supports("avx2") ? encode_avx2<kBits> : encode_portable<kBits>;
}
#else
template <int kBits>
Encoder choose_encoder() {
  return encode_portable<kBits>;
}
#endif

// Throws unless every value can be coded.
void check_values(const StripLayout& layout, const float* rows, std::int64_t num_rows,
                  std::int64_t cols) {
  const float limit = to_float(f16{0x7BFF}) * (layout.bits == 8 ? 127.0F : 6.0F);
  const std::int64_t count = num_rows * cols;
  std::int32_t wrong = 0;
  for (std::int64_t i = 0; i < count; ++i) wrong |= std::fabs(rows[i]) <= limit ? 0 : 1;
  if (wrong == 0) return;
  const float* found =
      std::find_if_not(rows, rows + count, [&](float v) { return std::fabs(v) <= limit; });
  fail(ErrorCode::kInvalidArgument, "row ", (found - rows) / cols, ": expected values within ",
       limit, ", got ", *found);
}

}  // namespace

void encode_strip(BlockFormat format, const float* rows, std::int64_t num_rows, std::int64_t cols,
                  std::byte* strip) {
  static const Encoder kEncode4 = choose_encoder<4>();
  static const Encoder kEncode8 = choose_encoder<8>();
  const StripLayout layout = strip_layout(format, cols);
  M2_CHECK(num_rows >= 0 && num_rows <= kStripRows, "a strip of ", num_rows, " rows");
  M2_CHECK(layout.group_size <= kMostGroup, "groups of ", layout.group_size);
  check_values(layout, rows, num_rows, cols);
  (layout.bits == 4 ? kEncode4 : kEncode8)(layout, rows, num_rows, cols, strip);
}

}  // namespace m2
