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

// The vectors of the keys [first_key, end_key), or of their values, into `decoded` [end_key, D];
// vectors[key] leads to the float32 numbers. Keys without groups are such already.
template <int kBits>
void decode_keys(const AttendArgs& args, const std::uint8_t* const* codes,
                 const float* const* groups, float* decoded, const std::uint8_t** vectors) {
  for (std::int64_t key = args.first_key; key < args.end_key; ++key) {
    vectors[key] = codes[key];
    if (groups[key] == nullptr) continue;
    float* out = decoded + key * args.head_dim;
    vectors[key] = reinterpret_cast<const std::uint8_t*>(out);
    const float* group = groups[key];
    for (std::int64_t begin = 0; begin < args.head_dim; begin += args.group_size, group += 2) {
      decode_group<kBits>(codes[key] + begin * kBits / 8, args.group_size, group[0], group[1],
                          out + begin);
    }
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
