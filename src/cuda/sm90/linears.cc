// Dense products of many tokens.
#include <algorithm>
#include <cmath>

#include "cuda/sm90/gemm_call.h"

namespace m2::cuda::sm90 {
namespace {

// F32 weights are multiplied as three products of bf16 parts side by side: of the weights' high,
// high and low parts with the tokens' high, low and again high ones.
constexpr int kSplitProducts = 3;
constexpr int kSplitParts = 2;

bool is_split(const LinearArgs& args) { return args.weight.dtype == DType::kF32; }

bool fits(const WeightView& weight) {
  if (weight.dtype != DType::kF32) return fits_gemm(weight);
  return weight.rows % kClusterRows == 0 && weight.cols % 128 == 0;
}

class LinearsCall {
 public:
  LinearsCall(std::span<const LinearArgs> products, const RmsNormArgs* norm, const OperandRows* f8,
              Context& context)
      : products_(products), norm_(norm), f8_(f8), context_(context) {}

  void run() {
    const LinearArgs& first = products_.front();
    const std::int64_t num_tokens = first.input.shape[0];
    const std::int64_t cols = first.weight.cols;
    const bool split = is_split(first);
    const Format format = format_of(first.weight);
    const std::int64_t operand_cols = split ? kSplitParts * cols : cols;
    // Rows of bf16 are what weights of bf16 take.
    const bool ready = format == Format::kBF16 && first.input.dtype == DType::kBF16;
    const OperandRows operand = ready ? OperandRows{.data = first.input.data, .scales = nullptr}
                                      : operand_rows(num_tokens, operand_cols, format, context_);
    if (!ready) make_operand(first, format, operand);
    Gemm gemm = {};
    set_tokens(gemm, operand, num_tokens, operand_cols, format);
    if (split) gemm.column_blocks = gemm.token_blocks / kSplitParts * kSplitProducts;
    set_tiles(gemm, format, static_cast<int>(num_tokens));
    for (const LinearArgs& args : products_) add(gemm, args);
    gemm.accumulate = first.accumulate;
    const bool rows = first.output.dtype == DType::kBF16;
    launch(gemm, split ? split_ : first.weight, rows ? Output::kRows : Output::kTokens, context_);
  }

 private:
  void make_operand(const LinearArgs& first, Format format, const OperandRows& operand) {
    const bool split = is_split(first);
    const bool norms =
        norm_ != nullptr && (split || format == Format::kF8) && can_norm_rows(*norm_);
    if (norms) {
      return split ? norm_split_rows(*norm_, operand.data, f8_, context_)
                   : norm_tokens(*norm_, operand, context_);
    }
    if (norm_ != nullptr) rms_norm(*norm_, context_);
    if (split) {
      split_rows(first.input.as<float>(), first.input.shape[0], static_cast<int>(first.weight.cols),
                 false, operand.data, context_);
    } else {
      convert_tokens(first.input, nullptr, 1, format, operand, context_);
    }
  }

  static void set_tiles(Gemm& gemm, Format format, int num_tokens) {
    const int tiles = (num_tokens + kMaxTile - 1) / kMaxTile;
    gemm.num_rows = num_tokens;
    gemm.shape = tile_shape(format, (num_tokens + tiles - 1) / tiles);
  }

  void add(Gemm& gemm, const LinearArgs& args) {
    const int part = gemm.num_parts++;
    if (is_split(args)) split_ = split_weight(args.weight);
    gemm.parts[part] = gemm_matrix(is_split(args) ? split_ : args.weight);
    gemm.part_begin[part] = gemm.pairs;
    gemm.pairs += static_cast<int>(args.weight.rows / kClusterRows);
    gemm.outputs[part] = args.output.data;
    gemm.widths[part] = static_cast<int>(args.weight.rows);
  }

  // Of the router, small beside its product.
  WeightView split_weight(const WeightView& weight) {
    const auto count = static_cast<std::size_t>(kSplitProducts * weight.rows * weight.cols);
    void* parts = context_.prefill.weight_parts.get<std::uint16_t>(count);
    split_rows(static_cast<const float*>(weight.data), weight.rows, static_cast<int>(weight.cols),
               true, parts, context_);
    return {.data = parts,
            .dtype = DType::kBF16,
            .rows = weight.rows,
            .cols = kSplitProducts * weight.cols};
  }

  std::span<const LinearArgs> products_;
  const RmsNormArgs* norm_;
  const OperandRows* f8_;  // for the norm's output, or none
  Context& context_;
  WeightView split_;  // of an F32 weight
};

}  // namespace

bool fits_linears(std::span<const LinearArgs> products, const Context& context) {
  const LinearArgs& first = products.front();
  if (!context.has_wgmma || first.input.shape[0] <= kFewTokens) return false;
  if (products.size() > (is_split(first) ? 1 : kMaxGemmParts)) return false;
  return std::ranges::all_of(products, [&](const LinearArgs& args) {
    return fits(args.weight) && args.input.data == first.input.data &&
           args.weight.dtype == first.weight.dtype && args.weight.cols == first.weight.cols &&
           args.accumulate == first.accumulate;
  });
}

void linears(std::span<const LinearArgs> products, const RmsNormArgs* norm, Context& context) {
  LinearsCall(products, norm, nullptr, context).run();
}

void norm_linear_f8(const RmsNormArgs& norm, const LinearArgs& args, const OperandRows& f8,
                    Context& context) {
  LinearsCall({&args, 1}, &norm, &f8, context).run();
}

}  // namespace m2::cuda::sm90
