#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace m2 {
namespace {

// Everything below repeats the reference's mix: tensor arithmetic in float32, settings in double
// that enter a float32 operation rounded.
float f32(double value) { return static_cast<float>(value); }

// theta^(2j / R), j < R / 2. [R / 2]
std::vector<float> base_frequencies(float theta, std::int64_t rotary_dim) {
  std::vector<float> frequencies(static_cast<std::size_t>(rotary_dim / 2));
  for (std::size_t j = 0; j < frequencies.size(); ++j) {
    frequencies[j] = std::pow(theta, static_cast<float>(2 * j) / static_cast<float>(rotary_dim));
  }
  return frequencies;
}

std::vector<float> inverse(std::vector<float> frequencies) {
  for (auto& frequency : frequencies) frequency = 1.0F / frequency;
  return frequencies;
}

std::vector<float> longrope_inv_freq(const std::vector<double>& factors,
                                     std::vector<float> frequencies) {
  for (std::size_t j = 0; j < frequencies.size(); ++j) {
    frequencies[j] = 1.0F / (f32(factors[j]) * frequencies[j]);
  }
  return frequencies;
}

// "0 or absent" takes the default, as Python's `or` does.
double value_or_default(const std::optional<double>& value, double otherwise) {
  return value.value_or(0.0) == 0.0 ? otherwise : *value;
}

struct Range {
  double low;
  double high;
};

// Between which frequencies yarn blends from the original to the interpolated ones.
Range yarn_correction_range(const RopeParameters& rope, double original, std::int64_t rotary_dim) {
  const auto dim = static_cast<double>(rotary_dim);
  const auto correction = [&](double rotations) {
    return dim * std::log(original / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(rope.rope_theta));
  };
  Range range{correction(value_or_default(rope.beta_fast, 32)),
              correction(value_or_default(rope.beta_slow, 1))};
  if (rope.truncate.value_or(true)) range = {std::floor(range.low), std::ceil(range.high)};
  range = {std::max(range.low, 0.0), std::min(range.high, dim - 1)};
  if (range.low == range.high) range.high += 0.001;
  return range;
}

std::vector<float> yarn_inv_freq(const RopeParameters& rope, double factor, double original,
                                 std::int64_t rotary_dim) {
  const auto [low, high] = yarn_correction_range(rope, original, rotary_dim);
  std::vector<float> frequencies = base_frequencies(f32(rope.rope_theta), rotary_dim);
  for (std::size_t j = 0; j < frequencies.size(); ++j) {
    const float ramp = std::clamp((static_cast<float>(j) - f32(low)) / f32(high - low), 0.0F, 1.0F);
    const float extrapolation = 1.0F - ramp;
    frequencies[j] = 1.0F / (f32(factor) * frequencies[j]) * (1.0F - extrapolation) +
                     1.0F / frequencies[j] * extrapolation;
  }
  return frequencies;
}

double yarn_mscale(double scale, double mscale) {
  return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

double yarn_attention_scale(const RopeParameters& rope, double factor) {
  if (rope.attention_factor.has_value()) return *rope.attention_factor;
  if (rope.mscale.value_or(0.0) != 0.0 && rope.mscale_all_dim.value_or(0.0) != 0.0) {
    return yarn_mscale(factor, *rope.mscale) / yarn_mscale(factor, *rope.mscale_all_dim);
  }
  return yarn_mscale(factor, 1.0);
}

double longrope_attention_scale(const RopeParameters& rope, double factor, double original) {
  if (rope.attention_factor.has_value()) return *rope.attention_factor;
  return factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original));
}

// Long waves are slowed down by the factor, short ones kept, those between blended.
float llama3_frequency(const RopeParameters& rope, float inv_freq, double original) {
  const double low = *rope.low_freq_factor;
  const double high = *rope.high_freq_factor;
  const float factor = f32(*rope.factor);
  const float wavelength = 1.0F / inv_freq * f32(2 * std::numbers::pi);
  if (wavelength > f32(original / low)) return inv_freq / factor;
  if (wavelength < f32(original / high)) return inv_freq;
  const float smooth = (1.0F / wavelength * f32(original) - f32(low)) / f32(high - low);
  return (1.0F - smooth) * inv_freq / factor + smooth * inv_freq;
}

}  // namespace

RopeTable::RopeTable(const MiniMaxM2Config& config)
    : parameters_(config.rope),
      max_position_embeddings_(config.max_position_embeddings),
      rotary_dim_(config.rotary_dim()) {
  config.validate();
  const RopeParameters& rope = parameters_;
  const auto longest = static_cast<double>(max_position_embeddings_);
  const auto original =
      static_cast<double>(rope.original_max_position_embeddings.value_or(max_position_embeddings_));
  const double factor = rope.factor.value_or(longest / original);
  inv_freq_ = inverse(base_frequencies(f32(rope.rope_theta), rotary_dim_));
  switch (rope.type) {
    case RopeType::kDefault:
      break;
    case RopeType::kDynamic:
      break;  // the bracket is 1 up to the maximal length
    case RopeType::kLinear:
      for (auto& frequency : inv_freq_) frequency /= f32(factor);
      break;
    case RopeType::kYarn:
      inv_freq_ = yarn_inv_freq(rope, factor, original, rotary_dim_);
      attention_scale_ = f32(yarn_attention_scale(rope, factor));
      break;
    case RopeType::kLongrope: {
      const auto frequencies = base_frequencies(f32(rope.rope_theta), rotary_dim_);
      inv_freq_ = longrope_inv_freq(rope.short_factor, frequencies);
      long_inv_freq_ = longrope_inv_freq(rope.long_factor, frequencies);
      attention_scale_ = f32(longrope_attention_scale(rope, factor, original));
      break;
    }
    case RopeType::kLlama3:
      for (auto& frequency : inv_freq_) frequency = llama3_frequency(rope, frequency, original);
  }
  const auto finite = [](float value) { return std::isfinite(value); };
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             std::all_of(inv_freq_.begin(), inv_freq_.end(), finite) &&
                 std::all_of(long_inv_freq_.begin(), long_inv_freq_.end(), finite) &&
                 finite(attention_scale_),
             "config: rope_parameters: rope_type ", rope_type_name(rope.type),
             " gives frequencies that are not finite");
}

std::vector<float> RopeTable::dynamic_inv_freq(std::int64_t seq_len) const {
  const auto dim = static_cast<double>(rotary_dim_);
  const double factor = *parameters_.factor;
  // The sequence length is a tensor in the reference, so the bracket is float32; the exponent of
  // its power stays double there, which moves the last bits.
  const float bracket =
      f32(factor) * static_cast<float>(seq_len) / static_cast<float>(max_position_embeddings_) -
      f32(factor - 1);
  const float power = f32(std::pow(static_cast<double>(bracket), dim / (dim - 2)));
  const float theta = f32(parameters_.rope_theta) * power;
  return inverse(base_frequencies(theta, rotary_dim_));
}

std::vector<float> RopeTable::inv_freq(std::int64_t seq_len) const {
  std::vector<float> rescaled;
  const std::span<const float> chosen = frequencies(seq_len, rescaled);
  return {chosen.begin(), chosen.end()};
}

std::span<const float> RopeTable::frequencies(std::int64_t seq_len,
                                              std::vector<float>& rescaled) const {
  if (parameters_.type == RopeType::kDynamic && seq_len > max_position_embeddings_) {
    rescaled = dynamic_inv_freq(seq_len);
    return rescaled;
  }
  const std::int64_t original =
      parameters_.original_max_position_embeddings.value_or(max_position_embeddings_);
  return parameters_.type == RopeType::kLongrope && seq_len > original ? long_inv_freq_ : inv_freq_;
}

void RopeTable::fill(std::span<const std::int64_t> positions, const TensorView& cos,
                     const TensorView& sin) const {
  const auto longest = std::max_element(positions.begin(), positions.end());
  fill(positions, longest == positions.end() ? 0 : *longest + 1, cos, sin);
}

void RopeTable::fill(std::span<const std::int64_t> positions, std::int64_t seq_len,
                     const TensorView& cos, const TensorView& sin) const {
  const Shape expected{std::ssize(positions), rotary_dim_ / 2};
  M2_CHECK(cos.shape == expected && sin.shape == expected, "rope: cos ", cos.shape, " and sin ",
           sin.shape, " do not match ", expected);
  std::vector<float> rescaled;
  const std::span<const float> inv_freq = frequencies(seq_len, rescaled);
  auto* cos_out = cos.as<float>();
  auto* sin_out = sin.as<float>();
  for (const std::int64_t position : positions) {
    for (const float frequency : inv_freq) {
      const float angle = frequency * static_cast<float>(position);
      *cos_out++ = std::cos(angle) * attention_scale_;
      *sin_out++ = std::sin(angle) * attention_scale_;
    }
  }
}

}  // namespace m2
