// Weights of the model's real sizes for the benchmarks.
#pragma once

#include <cstdint>
#include <vector>

#include "quant/weight_view.h"

namespace m2::bench {

inline constexpr std::int64_t kHiddenSize = 3072;
inline constexpr std::int64_t kInnerSize = 1536;

/// A type or a block format.
struct Storage {
  Storage(DType type) : dtype(type) {}                                      // NOLINT: both are one
  Storage(BlockFormat format) : dtype(DType::kU8), block_format(format) {}  // NOLINT

  DType dtype;
  BlockFormat block_format = BlockFormat::kNone;
};

/// Enough memory that no cache holds it; weights are cut from it one after the other.
class WeightPool {
 public:
  WeightPool(Storage storage, std::int64_t num_bytes)
      : storage_(storage), memory_(DType::kU8, {num_bytes}), scales_(DType::kF32, {kNumScales}) {
    fill();
  }

  /// The next [rows, cols], from the start again when the pool is used up.
  WeightView next(std::int64_t rows, std::int64_t cols) {
    WeightView view{
        .dtype = storage_.dtype, .rows = rows, .cols = cols, .block_format = storage_.block_format};
    const std::int64_t size = view.num_bytes();
    if (offset_ + size > memory_.shape()[0]) offset_ = 0;
    view.data = memory_.as<std::uint8_t>() + offset_;
    if (storage_.dtype == DType::kF8E4M3) view.scale = scales_.as<float>();
    offset_ += size;
    return view;
  }

 private:
  static constexpr std::int64_t kNumScales = 4096;

  // Pseudo-random small numbers without NaN, of a fixed period that is no power of two.
  void fill() {
    std::vector<std::uint8_t> period;
    std::uint32_t state = 1;
    for (int i = 0; i < 9973; ++i) {
      state = state * 1664525U + 1013904223U;
      const float value = static_cast<float>(state >> 16U) / 32768.0F - 1.0F;
      append(period, value);
    }
    std::uint8_t* bytes = memory_.as<std::uint8_t>();
    for (std::int64_t i = 0; i < memory_.shape()[0]; ++i) {
      bytes[i] = period[static_cast<std::size_t>(i) % period.size()];
    }
    for (std::int64_t i = 0; i < kNumScales; ++i) scales_.as<float>()[i] = 0.02F;
  }

  void append(std::vector<std::uint8_t>& bytes, float value) const {
    const auto put = [&](auto stored) {
      const auto* begin = reinterpret_cast<const std::uint8_t*>(&stored);
      bytes.insert(bytes.end(), begin, begin + sizeof(stored));
    };
    if (storage_.dtype == DType::kF32) put(value);
    if (storage_.dtype == DType::kF16) put(to_f16(value));
    if (storage_.dtype == DType::kBF16) put(to_bf16(value));
    if (storage_.dtype == DType::kF8E4M3) put(to_f8e4m3(value * 16.0F));
    // Any bytes are codes; as scales too these are small numbers.
    if (storage_.dtype == DType::kU8) put(to_f16(0.001F + 0.001F * value * value));
  }

  Storage storage_;
  Tensor memory_;
  Tensor scales_;
  std::int64_t offset_ = 0;
};

}  // namespace m2::bench
