// Turns the codes of keys and values into float32. Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/kernels.h"
#include "cpu/weight_decode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

// out[i] = code * scale + offset for one group of n values; see ops/quantized_blocks.h for the
// layout.
template <int kBits>
HWY_INLINE void decode_group(const std::uint8_t* codes, std::int64_t n, float scale, float offset,
                             float* out) {
  const D d;
  const hn::RebindToSigned<D> di32;
  const hn::Rebind<std::uint8_t, D> du8;
  const V factor = hn::Set(d, scale);
  const V shift = hn::Set(d, offset);
  const auto low_bits = hn::Set(di32, 15);
  const std::int64_t num_bytes = n * kBits / 8;
  const auto store = [&](auto code, std::int64_t at) HWY_ATTR {
    hn::StoreU(hn::MulAdd(hn::ConvertTo(d, code), factor, shift), d, out + at);
  };
  std::int64_t i = 0;
  for (; i + static_cast<std::int64_t>(kLanes) <= num_bytes;
       i += static_cast<std::int64_t>(kLanes)) {
    const auto bytes = hn::PromoteTo(di32, load_bytes(du8, codes + i));
    if constexpr (kBits == 8) {
      store(bytes, i);
    } else {
      store(hn::And(bytes, low_bits), i);
      store(hn::ShiftRight<4>(bytes), i + num_bytes);
    }
  }
  for (; i < num_bytes; ++i) {
    const int byte = codes[i];
    out[i] = static_cast<float>(kBits == 8 ? byte : byte & 15) * scale + offset;
    if constexpr (kBits == 4) out[i + num_bytes] = static_cast<float>(byte >> 4) * scale + offset;
  }
}

// Where vectors of the cache lie, keys or values: pointers by key, and where they have groups,
// those.
struct CacheRows {
  const std::uint8_t* const* vectors;
  const float* const* groups;
};

// A vector of the cache as float32: in its place, or decoded to `room`.
struct F32Rows {
  static constexpr std::int64_t kBytes = 4;
  HWY_INLINE static const float* row(const AttendArgs&, const CacheRows& rows, std::int64_t key,
                                     float*) {
    return reinterpret_cast<const float*>(rows.vectors[key]);
  }
};

struct BF16Rows {
  static constexpr std::int64_t kBytes = 2;
  HWY_INLINE static const float* row(const AttendArgs& args, const CacheRows& rows,
                                     std::int64_t key, float* room) {
    const D d;
    const std::uint8_t* from = rows.vectors[key];
    BF16Format format;
    V value;
    std::int64_t dim = 0;
    for (; dim + static_cast<std::int64_t>(kLanes) <= args.head_dim;
         dim += static_cast<std::int64_t>(kLanes)) {
      format.decode(from + dim * kBytes, &value);
      hn::StoreU(value, d, room + dim);
    }
    if (dim == args.head_dim) return room;
    HWY_ALIGN std::uint8_t bytes[kLanes * kBytes] = {};
    HWY_ALIGN float rest[kLanes];
    __builtin_memcpy(bytes, from + dim * kBytes,
                     static_cast<std::size_t>((args.head_dim - dim) * kBytes));
    format.decode(bytes, &value);
    hn::Store(value, d, rest);
    for (std::int64_t i = 0; dim + i < args.head_dim; ++i) room[dim + i] = rest[i];
    return room;
  }
};

// What each code stands for.
struct F8Numbers {
  float values[256];
};

constexpr F8Numbers make_f8_numbers() {
  F8Numbers numbers{};
  for (unsigned code = 0; code < 256; ++code) {
    const unsigned exponent = code >> 3U & 15U;
    const unsigned mantissa = code & 7U;
    float size = static_cast<float>(exponent == 0 ? mantissa : 8U + mantissa) * 0x1p-9F;
    for (unsigned i = 1; i < exponent; ++i) size *= 2.0F;
    if (exponent == 15 && mantissa == 7) size = __builtin_nanf("");
    numbers.values[code] = code < 128 ? size : -size;
  }
  return numbers;
}

inline constexpr F8Numbers kF8Numbers = make_f8_numbers();

struct F8Rows {
  static constexpr std::int64_t kBytes = 1;
  HWY_INLINE static const float* row(const AttendArgs& args, const CacheRows& rows,
                                     std::int64_t key, float* room) {
    const std::uint8_t* from = rows.vectors[key];
    for (std::int64_t dim = 0; dim < args.head_dim; ++dim) room[dim] = kF8Numbers.values[from[dim]];
    return room;
  }
};

// Keys without groups are float32 already.
template <int kBits>
struct CodeRows {
  static constexpr std::int64_t kBytes = 1;
  HWY_INLINE static const float* row(const AttendArgs& args, const CacheRows& rows,
                                     std::int64_t key, float* room) {
    const std::uint8_t* codes = rows.vectors[key];
    const float* group = rows.groups[key];
    if (group == nullptr) return reinterpret_cast<const float*>(codes);
    for (std::int64_t begin = 0; begin < args.head_dim; begin += args.group_size, group += 2) {
      decode_group<kBits>(codes + begin * kBits / 8, args.group_size, group[0], group[1],
                          room + begin);
    }
    return room;
  }
};

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
