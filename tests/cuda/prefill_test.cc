// Products of many tokens, whose activations are rounded to the type that the matrix units take:
// compared with float64 over activations that are rounded in the same way.
#include <numeric>
#include <variant>

#include "cuda/device_cases.h"
#include "ops/linear.h"
#include "ops/moe_experts.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

// F8_E4M3 with a scale for the row, or BF16; F32 weights take activations as they are.
std::vector<float> rounded(const float* row, std::int64_t cols, DType weight) {
  std::vector<float> result(row, row + cols);
  float largest = 1e-30F;
  for (const float x : result) largest = std::fmax(largest, std::fabs(x));
  for (float& x : result) {
    if (weight == DType::kBF16) x = to_float(to_bf16(x));
    if (weight == DType::kF8E4M3) {
      x = to_float(to_f8e4m3(x * (448.0F / largest))) * (largest / 448.0F);
    }
  }
  return result;
}

// weight [N, K] times a row.
std::vector<double> product(const std::vector<double>& weight, const std::vector<float>& row) {
  std::vector<double> result(weight.size() / row.size());
  for (std::size_t n = 0; n < result.size(); ++n) {
    result[n] = std::inner_product(
        row.begin(), row.end(), weight.begin() + static_cast<std::ptrdiff_t>(n * row.size()), 0.0);
  }
  return result;
}

// ||got - expected|| / ||expected||; NaN where either has one.
double relative_error(std::span<const float> got, std::span<const double> expected) {
  double error = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += (double{got[i]} - expected[i]) * (double{got[i]} - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(error / norm);
}

class CudaPrefill : public test::DeviceTest {};

struct LinearCase {
  std::int64_t num_tokens;
  std::int64_t rows;
  std::int64_t cols;
};

// One past the few tokens of the row stream, partial tiles, several tiles, the model's widths.
constexpr LinearCase kLinearCases[] = {{65, 256, 128},  {96, 512, 384},   {128, 256, 256},
                                       {140, 256, 256}, {160, 768, 128},  {161, 256, 1024},
                                       {333, 512, 640}, {700, 256, 3072}, {1300, 256, 6144}};

TEST_F(CudaPrefill, LinearMatchesFloat64) {
  unsigned seed = 1;
  for (const LinearCase& c : kLinearCases) {
    for (const DType dtype : {DType::kF8E4M3, DType::kBF16, DType::kF32}) {
      const bool accumulate = ++seed % 2 == 0;
      SCOPED_TRACE(testing::Message() << "[" << c.num_tokens << "] x [" << c.rows << ", " << c.cols
                                      << "] " << dtype_name(dtype));
      Random random(seed);
      const StoredWeight weight(dtype, c.rows, c.cols, random);
      const Tensor input = random.tensor({c.num_tokens, c.cols});
      const Tensor initial = random.tensor({c.num_tokens, c.rows});
      const Tensor output = to_device(initial.view());
      backend_->linear({.input = to_device(input.view()).view(),
                        .weight = place(weight.view()),
                        .output = output.view(),
                        .accumulate = accumulate});
      const Tensor got = to_host(output);
      const auto weights = test::decode(weight.view());
      // The tensor unit's own sums of F8 products keep about 13 bits.
      const double tolerance = dtype == DType::kF8E4M3 ? 0x1p-10 : 0x1p-14;
      for (std::int64_t t = 0; t < c.num_tokens; t += 1 + c.num_tokens / 50) {
        auto expected = product(weights, rounded(input.as<float>() + t * c.cols, c.cols, dtype));
        for (std::size_t n = 0; accumulate && n < expected.size(); ++n) {
          expected[n] += double{initial.as<float>()[static_cast<std::size_t>(t * c.rows) + n]};
        }
        const auto row = test::floats(got).subspan(static_cast<std::size_t>(t * c.rows),
                                                   static_cast<std::size_t>(c.rows));
        ASSERT_LE(relative_error(row, expected), tolerance) << "token " << t;
      }
    }
  }
}

TEST_F(CudaPrefill, SeveralWeightsGiveTheBitsOfEachAlone) {
  constexpr std::int64_t kTokens = 201;
  for (const DType dtype : {DType::kF8E4M3, DType::kBF16}) {
    Random random(11);
    const StoredWeight weights[] = {StoredWeight(dtype, 768, 256, random),
                                    StoredWeight(dtype, 256, 256, random),
                                    StoredWeight(dtype, 512, 256, random)};
    const Tensor input = to_device(random.tensor({kTokens, 256}).view());
    std::vector<Tensor> together;
    std::vector<Tensor> alone;
    std::vector<LinearArgs> products;
    for (const StoredWeight& weight : weights) {
      const WeightView placed = place(weight.view());
      together.push_back(backend_->allocate(DType::kF32, {kTokens, placed.rows}));
      alone.push_back(backend_->allocate(DType::kF32, {kTokens, placed.rows}));
      products.push_back({input.view(), placed, together.back().view()});
      backend_->linear({input.view(), placed, alone.back().view()});
    }
    backend_->linears(products);
    for (std::size_t i = 0; i < products.size(); ++i) {
      const Tensor got = to_host(together[i]);
      const Tensor expected = to_host(alone[i]);
      test::expect_same_bits(test::floats(got), test::floats(expected));
    }
  }
}

struct ExpertsCase {
  std::int64_t num_tokens;
  std::int64_t hidden_size;
  std::int64_t inner_size;
  std::int64_t num_experts;
  std::int64_t top_k;
};

// Few and many tokens of an expert, experts without any, one that gets everything; tiles of every
// size.
constexpr ExpertsCase kExpertsCases[] = {
    {257, 256, 256, 4, 2}, {300, 256, 512, 20, 3}, {270, 512, 256, 1, 1},  {420, 256, 256, 3, 2},
    {650, 512, 256, 2, 2}, {260, 3072, 256, 2, 2}, {290, 256, 1536, 9, 8}, {310, 256, 512, 1, 1},
    {460, 256, 256, 3, 1}, {500, 512, 256, 2, 1},  {370, 256, 512, 2, 1}};

using Format = std::variant<DType, BlockFormat>;
constexpr Format kFormats[] = {DType::kF8E4M3, DType::kBF16, BlockFormat::kInt4G128,
                               BlockFormat::kInt4G32};

struct Layer {
  std::vector<StoredWeight> stored;
  std::vector<ExpertWeights> device;
};

std::string_view name_of(const Format& format) {
  const auto* dtype = std::get_if<DType>(&format);
  return dtype != nullptr ? dtype_name(*dtype) : block_format_name(std::get<BlockFormat>(format));
}
// The type of the activations.
DType operand_of(const Format& format) {
  return format == Format(DType::kBF16) ? DType::kBF16 : DType::kF8E4M3;
}

class CudaPrefillExperts : public test::DeviceTest {
 protected:
  Layer make_layer(const ExpertsCase& c, const Format& format, Random& random) {
    Layer layer;
    const auto add = [&](std::int64_t rows, std::int64_t cols) {
      std::visit([&](auto type) { layer.stored.emplace_back(type, rows, cols, random); }, format);
    };
    for (std::int64_t e = 0; e < c.num_experts; ++e) {
      add(c.inner_size, c.hidden_size);
      add(c.inner_size, c.hidden_size);
      add(c.hidden_size, c.inner_size);
    }
    for (std::size_t e = 0; e < layer.stored.size(); e += 3) {
      ExpertWeights expert;
      // Up before gate for some: which of the two comes first in memory must not matter.
      if (e % 2 == 0) expert.gate = place(layer.stored[e].view(), MatrixUse::kExpert);
      expert.up = place(layer.stored[e + 1].view(), MatrixUse::kExpert);
      if (e % 2 != 0) expert.gate = place(layer.stored[e].view(), MatrixUse::kExpert);
      expert.down = place(layer.stored[e + 2].view(), MatrixUse::kExpert);
      layer.device.push_back(expert);
    }
    return layer;
  }
};

// Matrices as numbers, made when they are first asked for.
class Decoded {
 public:
  explicit Decoded(const Layer& layer) : layer_(layer), matrices_(layer.stored.size()) {}

  const std::vector<double>& operator[](std::size_t index) {
    std::vector<double>& matrix = matrices_[index];
    if (matrix.empty()) matrix = test::decode(layer_.stored[index].view());
    return matrix;
  }

 private:
  const Layer& layer_;
  std::vector<std::vector<double>> matrices_;
};

std::vector<double> expert_forward(Decoded& matrices, std::size_t expert, const float* hidden,
                                   const ExpertsCase& c, const Format& format) {
  const auto weight = [&](std::size_t part) -> const std::vector<double>& {
    return matrices[3 * expert + part];
  };
  const auto x = rounded(hidden, c.hidden_size, operand_of(format));
  const auto gate = product(weight(0), x);
  const auto up = product(weight(1), x);
  std::vector<float> inner;
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double value = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
    inner.push_back(to_float(to_bf16(static_cast<float>(value))));
  }
  return product(weight(2), rounded(inner.data(), c.inner_size, operand_of(format)));
}

TEST_F(CudaPrefillExperts, MatchesFloat64) {
  unsigned seed = 1;
  for (const ExpertsCase& c : kExpertsCases) {
    for (const Format& format : kFormats) {
      SCOPED_TRACE(testing::Message()
                   << c.num_tokens << " tokens, " << c.hidden_size << " x " << c.inner_size << ", "
                   << c.top_k << " of " << c.num_experts << " " << name_of(format));
      Random random(++seed);
      const Layer layer = make_layer(c, format, random);
      const Tensor hidden = random.tensor({c.num_tokens, c.hidden_size});
      const Tensor ids = test::neighbouring_experts(c.num_tokens, c.top_k, c.num_experts, random);
      const Tensor weights = random.tensor({c.num_tokens, c.top_k});
      const Tensor initial = random.tensor({c.num_tokens, c.hidden_size});
      const Tensor output = to_device(initial.view());
      backend_->moe_experts({.hidden_states = to_device(hidden.view()).view(),
                             .topk_ids = to_device(ids.view()).view(),
                             .topk_weights = to_device(weights.view()).view(),
                             .experts = layer.device,
                             .output = output.view()});
      const Tensor got = to_host(output);
      Decoded matrices(layer);
      for (std::int64_t t = 0; t < c.num_tokens; t += 1 + c.num_tokens / 8) {
        const float* before = initial.as<float>() + t * c.hidden_size;
        std::vector<double> expected(before, before + c.hidden_size);
        for (std::int64_t j = t * c.top_k; j < (t + 1) * c.top_k; ++j) {
          const auto expert = static_cast<std::size_t>(ids.as<std::int32_t>()[j]);
          const auto down =
              expert_forward(matrices, expert, hidden.as<float>() + t * c.hidden_size, c, format);
          for (std::size_t i = 0; i < down.size(); ++i) {
            expected[i] += double{weights.as<float>()[j]} * down[i];
          }
        }
        const auto row = test::floats(got).subspan(static_cast<std::size_t>(t * c.hidden_size),
                                                   static_cast<std::size_t>(c.hidden_size));
        // Down's results are BF16. Of the values between, one in thirty or so rounds to its other
        // neighbour: in F8 a step of up to 2^-3, and few of them may make up a row.
        const bool is_f8 = operand_of(format) == DType::kF8E4M3;
        ASSERT_LE(relative_error(row, expected), is_f8 ? 0x1p-4 : 0x1p-8) << "token " << t;
      }
    }
  }
}

// The order of the rows of an expert varies; the results must not, nor with the other tokens.
TEST_F(CudaPrefillExperts, RepeatsBitForBitAndTokensAreIndependent) {
  const ExpertsCase c{400, 256, 256, 6, 3};
  for (const Format& format : kFormats) {
    Random random(5);
    const Layer layer = make_layer(c, format, random);
    const Tensor hidden = random.tensor({c.num_tokens, c.hidden_size});
    const Tensor weights = random.tensor({c.num_tokens, c.top_k});
    const Tensor ids(DType::kI32, {c.num_tokens, c.top_k});
    for (std::int64_t i = 0; i < ids.view().num_elements(); ++i) {
      ids.as<std::int32_t>()[i] = static_cast<std::int32_t>((i * i + i / 3) % c.num_experts);
    }
    const auto run = [&](std::int64_t num_tokens) {
      const auto part = [&](const Tensor& all, std::int64_t width) {
        return to_device({all.view().data, all.view().dtype, {num_tokens, width}});
      };
      const Tensor output = backend_->allocate(DType::kF32, {num_tokens, c.hidden_size});
      backend_->moe_experts({.hidden_states = part(hidden, c.hidden_size).view(),
                             .topk_ids = part(ids, c.top_k).view(),
                             .topk_weights = part(weights, c.top_k).view(),
                             .experts = layer.device,
                             .output = output.view()});
      return to_host(output);
    };
    const Tensor first = run(c.num_tokens);
    for (int i = 0; i < 3; ++i) {
      test::expect_same_bits(test::floats(run(c.num_tokens)), test::floats(first));
    }
    const Tensor few = run(260);
    test::expect_same_bits(test::floats(few), test::floats(first).first(
                                                  static_cast<std::size_t>(260 * c.hidden_size)));
  }
}

}  // namespace
}  // namespace m2
