// How random weights are stored, by the names that users type.
#pragma once

#include <string>
#include <string_view>

#include "quant/weight_view.h"

namespace m2::bench {

struct WeightFormat {
  DType dtype = DType::kBF16;
  BlockFormat block_format = BlockFormat::kNone;

  friend bool operator==(const WeightFormat&, const WeightFormat&) = default;
};

/// "f32", "f16", "bf16", "fp8" (128x128 blocks), "int8_g32", "int4_g32", "int4_g128". Throws
/// kInvalidArgument naming them for anything else.
[[nodiscard]] WeightFormat weight_format_from_name(std::string_view name);
[[nodiscard]] std::string weight_format_name(const WeightFormat& format);
/// The format of a weight; those of files have names too.
[[nodiscard]] std::string weight_format_name(const WeightView& weight);

/// A matrix of the format without memory.
[[nodiscard]] WeightView unplaced_weight(const WeightFormat& format, std::int64_t rows,
                                         std::int64_t cols);

/// Which parts of a random model are stored how. The router is always F32, the embedding BF16.
struct ModelFormats {
  WeightFormat experts;
  WeightFormat attention;
  WeightFormat head;
};

/// What users of a format have: on "cpu" attention as the experts and the head in no less than 8
/// bits, on other devices F8_E4M3 attention beside integer experts and a BF16 head.
[[nodiscard]] ModelFormats default_formats(const WeightFormat& experts, std::string_view device);

}  // namespace m2::bench
