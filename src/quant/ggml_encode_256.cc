// Encoding of Q4_K and Q6_K: for each group the scale of the smallest weighted squared error among
// candidates around the one that covers the range, then scales of the scales.
#include <algorithm>
#include <array>
#include <cmath>

#include "quant/ggml_blocks.h"

namespace m2::ggml {
namespace {

constexpr int kSize = 256;
constexpr int kCandidates = 20;

// Rounds |value| < 2^22 to the nearest integer, ties to even; unlike std::lrint it vectorises.
inline float round_small(float value) {
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23
  return (value + kMagic) - kMagic;
}

float store_half(std::uint8_t* bytes, float value) {
  const f16 half = to_f16(value);
  std::memcpy(bytes, &half, sizeof(half));
  return to_float(half);
}

float inverse(float scale) { return scale == 0 ? 0.0F : 1.0F / scale; }

// W = scale * q - min, q in 0..15, scale and min not negative.
struct Affine {
  float scale = 0;
  float min = 0;
};

constexpr int kAffineGroup = 32;
using AffineWeights = std::array<float, kAffineGroup>;

// Large weights matter more: a product's error grows with them.
AffineWeights affine_weights(const float* in) {
  float sum = 0;
  for (int i = 0; i < kAffineGroup; ++i) sum += in[i] * in[i];
  const float mean = std::sqrt(sum / kAffineGroup);
  AffineWeights weights;
  for (int i = 0; i < kAffineGroup; ++i) weights[i] = mean + std::fabs(in[i]);
  return weights;
}

// The codes that `guess` gives, then the scale and min that fit these codes best.
Affine refit(const float* in, const AffineWeights& weights, const Affine& guess) {
  float sum = 0;
  float sum_q = 0;
  float sum_qq = 0;
  float sum_x = 0;
  float sum_xq = 0;
  const float factor = inverse(guess.scale);
  for (int i = 0; i < kAffineGroup; ++i) {
    const float q = std::clamp(round_small((in[i] + guess.min) * factor), 0.0F, 15.0F);
    const float weight = weights[i];
    sum += weight;
    sum_q += weight * q;
    sum_qq += weight * q * q;
    sum_x += weight * in[i];
    sum_xq += weight * in[i] * q;
  }
  const float determinant = sum * sum_qq - sum_q * sum_q;
  if (determinant <= 0) return guess;
  const Affine fit = {(sum * sum_xq - sum_x * sum_q) / determinant,
                      (sum_q * sum_xq - sum_qq * sum_x) / determinant};
  if (fit.min >= 0) return fit;
  return {sum_qq > 0 ? sum_xq / sum_qq : guess.scale, 0};
}

float error_of(const float* in, const AffineWeights& weights, const Affine& affine) {
  const float factor = inverse(affine.scale);
  float error = 0;
  for (int i = 0; i < kAffineGroup; ++i) {
    const float q = std::clamp(round_small((in[i] + affine.min) * factor), 0.0F, 15.0F);
    const float difference = affine.scale * q - affine.min - in[i];
    error += weights[i] * difference * difference;
  }
  return error;
}

Affine fit_affine(const float* in) {
  const auto [low, high] = std::minmax_element(in, in + kAffineGroup);
  const float min = std::max(0.0F, -*low);
  const float range = *high + min;
  if (range <= 0) return {0, min};  // all alike and not positive
  const AffineWeights weights = affine_weights(in);
  Affine best = {range / 15.0F, min};
  float best_error = error_of(in, weights, best);
  for (int step = 0; step <= kCandidates; ++step) {
    // 14 to 16 steps for the range: outer weights may be clipped.
    const Affine start = {range / (14.0F + 0.1F * static_cast<float>(step)), min};
    const Affine fit = refit(in, weights, start);
    const float error = error_of(in, weights, fit);
    if (fit.scale > 0 && error < best_error) {
      best = fit;
      best_error = error;
    }
  }
  return best;
}

// The opposite of unpack_scale_min.
void pack_scale_min(std::uint8_t* packed, int index, ScaleMin group) {
  if (index < 4) {
    packed[index] |= group.scale;
    packed[index + 4] |= group.min;
    return;
  }
  packed[index + 4] |= static_cast<std::uint8_t>((group.scale & 15U) | (group.min & 15U) << 4U);
  packed[index - 4] |= static_cast<std::uint8_t>(group.scale >> 4U << 6U);
  packed[index] |= static_cast<std::uint8_t>(group.min >> 4U << 6U);
}

std::uint8_t six_bits(float value, float factor) {
  return static_cast<std::uint8_t>(std::clamp(round_small(value * factor), 0.0F, 63.0F));
}

// W = scale * q, q in -32..31.
constexpr int kScaledGroup = 16;

float fit_scale(const float* in) {
  const float extreme = *std::max_element(
      in, in + kScaledGroup, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  if (extreme == 0) return 0;
  float best_scale = 0;
  float best_gain = 0;  // the squared error is the weighted sum of squares less this
  for (int step = -kCandidates / 2; step <= kCandidates / 2; ++step) {
    // The extreme becomes -32, or a little less or more than it.
    const float factor = -(32.0F + 0.1F * static_cast<float>(step)) / extreme;
    float sum_xq = 0;
    float sum_qq = 0;
    for (int i = 0; i < kScaledGroup; ++i) {
      const float q = std::clamp(round_small(in[i] * factor), -32.0F, 31.0F);
      const float weight = in[i] * in[i];
      sum_xq += weight * in[i] * q;
      sum_qq += weight * q * q;
    }
    if (sum_qq > 0 && sum_xq * sum_xq > best_gain * sum_qq) {
      best_scale = sum_xq / sum_qq;
      best_gain = sum_xq * best_scale;
    }
  }
  return best_scale;
}

void store_q6_codes(const std::array<std::uint8_t, kSize>& codes, std::uint8_t* block) {
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* in = codes.data() + half * 128;
    for (int i = 0; i < 64; ++i) {
      block[half * 64 + i] = static_cast<std::uint8_t>((in[i] & 15U) | (in[i + 64] & 15U) << 4U);
    }
    for (int i = 0; i < 32; ++i) {
      block[128 + half * 32 + i] = static_cast<std::uint8_t>(
          in[i] >> 4U | in[i + 32] >> 4U << 2U | in[i + 64] >> 4U << 4U | in[i + 96] >> 4U << 6U);
    }
  }
}

}  // namespace

void encode_q4_k(const float* in, std::uint8_t* block) {
  constexpr int kGroups = kSize / kAffineGroup;
  std::array<Affine, kGroups> fits;
  float max_scale = 0;
  float max_min = 0;
  for (int group = 0; group < kGroups; ++group) {
    fits[group] = fit_affine(in + group * kAffineGroup);
    max_scale = std::max(max_scale, fits[group].scale);
    max_min = std::max(max_min, fits[group].min);
  }
  std::memset(block, 0, 16);
  const float scale = store_half(block, max_scale / 63.0F);
  const float min = store_half(block + 2, max_min / 63.0F);
  for (int group = 0; group < kGroups; ++group) {
    const ScaleMin packed = {six_bits(fits[group].scale, inverse(scale)),
                             six_bits(fits[group].min, inverse(min))};
    pack_scale_min(block + 4, group, packed);
    const float factor = inverse(scale * static_cast<float>(packed.scale));
    const float offset = min * static_cast<float>(packed.min);
    std::uint8_t* codes = block + 16 + group / 2 * 32;
    for (int i = 0; i < kAffineGroup; ++i) {
      const float q = round_small((in[group * kAffineGroup + i] + offset) * factor);
      const auto code = static_cast<std::uint8_t>(std::clamp(q, 0.0F, 15.0F));
      codes[i] = group % 2 == 0 ? code : static_cast<std::uint8_t>(codes[i] | code << 4U);
    }
  }
}

void encode_q6_k(const float* in, std::uint8_t* block) {
  constexpr int kGroups = kSize / kScaledGroup;
  std::array<float, kGroups> scales;
  for (int group = 0; group < kGroups; ++group)
    scales[group] = fit_scale(in + group * kScaledGroup);
  const float extreme = *std::ranges::max_element(
      scales, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  const float scale = store_half(block + 208, extreme / -128.0F);
  std::array<std::uint8_t, kSize> codes;
  for (int group = 0; group < kGroups; ++group) {
    const float packed = std::clamp(round_small(scales[group] * inverse(scale)), -128.0F, 127.0F);
    block[192 + group] = static_cast<std::uint8_t>(static_cast<std::int8_t>(packed));
    const float factor = inverse(scale * packed);
    for (int i = group * kScaledGroup; i < (group + 1) * kScaledGroup; ++i) {
      const float q = std::clamp(round_small(in[i] * factor), -32.0F, 31.0F);
      codes[i] = static_cast<std::uint8_t>(q + 32.0F);
    }
  }
  store_q6_codes(codes, block);
}

}  // namespace m2::ggml
