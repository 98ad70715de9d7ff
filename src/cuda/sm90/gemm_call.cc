#include "cuda/sm90/gemm_call.h"

#include "cuda/int4_layout.h"

namespace m2::cuda::sm90 {

Format format_of(const WeightView& weight) {
  if (is_int4(weight)) return Format::kInt4;
  return weight.dtype == DType::kF8E4M3 ? Format::kF8 : Format::kBF16;
}

void set_tokens(Gemm& gemm, const OperandRows& rows, std::int64_t num_rows, std::int64_t cols,
                Format format) {
  const std::int64_t row_bytes = cols * operand_bytes(format);
  for (int i = 0; i < kNumBoxes; ++i) {
    gemm.tokens[i] = token_map(rows.data, num_rows, row_bytes, 8 * (i + 1));
  }
  gemm.column_blocks = static_cast<int>(cols / (format == Format::kBF16 ? 64 : 128));
  gemm.token_blocks = gemm.column_blocks;
  gemm.token_scales = rows.scales;
}

OperandRows operand_rows(std::int64_t num_rows, std::int64_t cols, Format format,
                         Context& context) {
  const auto bytes = static_cast<std::size_t>(num_rows * cols * operand_bytes(format));
  // A tile reads the scales of whole tiles.
  return {
      .data = context.prefill.operands.get<char>(bytes),
      .scales = context.prefill.scales.get<float>(static_cast<std::size_t>(num_rows + kMaxTile)),
      .for_int4 = format == Format::kInt4};
}

void launch(const Gemm& gemm, const WeightView& weight, Output output, Context& context) {
  switch (format_of(weight)) {
    case Format::kF8:
      return gemm_f8(gemm, output, context);
    case Format::kBF16:
      return gemm_bf16(gemm, output, context);
    case Format::kInt4:
      return int4_group(weight) == 128 ? gemm_int4_g128(gemm, output, context)
                                       : gemm_int4_g32(gemm, output, context);
  }
}

}  // namespace m2::cuda::sm90
