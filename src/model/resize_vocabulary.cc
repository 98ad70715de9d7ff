#include "model/resize_vocabulary.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "model/initial_values.h"
#include "model/row_distribution.h"
#include "model/weight_names.h"

namespace m2 {
namespace {

constexpr double kCovarianceScale = 1e-9;  // as the reference

void draw_rows(const WeightView& old, const TensorView& made, const std::string& name,
               std::uint64_t seed) {
  const RowDistribution distribution(old, kCovarianceScale);
  const std::int64_t cols = old.cols;
  std::vector<float> noise(static_cast<std::size_t>(cols));
  std::vector<float> row(static_cast<std::size_t>(cols));
  for (std::int64_t r = old.rows; r < made.shape[0]; ++r) {
    fill_normal({noise.data(), DType::kF32, Shape{cols}}, 1.0, seed,
                name + "." + std::to_string(r));
    distribution.draw(noise, row);
    for (std::int64_t c = 0; c < cols; ++c) {
      store_float(made.data, made.dtype, r * cols + c, row[static_cast<std::size_t>(c)]);
    }
  }
}

void copy_rows(const WeightView& old, const TensorView& made) {
  const std::int64_t rows = std::min(old.rows, made.shape[0]);
  std::vector<float> row(static_cast<std::size_t>(old.cols));
  for (std::int64_t r = 0; r < rows; ++r) {
    decode_row(old, r, row.data());
    for (std::int64_t c = 0; c < old.cols; ++c) {
      store_float(made.data, made.dtype, r * old.cols + c, row[static_cast<std::size_t>(c)]);
    }
  }
}

Tensor resized(const WeightView& old, std::int64_t num_tokens, Part part,
               const MiniMaxM2Config& config, const ResizeOptions& options) {
  const std::string name = tensor_name({part}).hub;
  Tensor made(old.scale != nullptr ? DType::kBF16 : old.dtype, Shape{num_tokens, old.cols});
  if (num_tokens > old.rows && options.mean_resizing) {
    draw_rows(old, made.view(), name, options.seed);
  } else if (num_tokens > old.rows) {
    const double range = config.initializer_range;
    fill_normal(made.view(), range != 0.0 ? range : 0.02, options.seed, name);
  }
  copy_rows(old, made.view());
  return made;
}

}  // namespace

ModelWeights resize_vocabulary(const MiniMaxM2Config& config, const ModelWeights& weights,
                               std::int64_t num_tokens, const ResizeOptions& options) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, num_tokens > 0,
             "resize_token_embeddings: expected a positive size, got ", num_tokens);
  ModelWeights result = weights;
  const auto replace = [&](WeightView& view, Part part) {
    const auto made =
        std::make_shared<const Tensor>(resized(view, num_tokens, part, config, options));
    const auto logical = weights.logical_dtypes.find(view.data);
    if (logical != weights.logical_dtypes.end()) {
      result.logical_dtypes[made->view().data] = logical->second;
    }
    view = {made->view().data, made->view().dtype, num_tokens, view.cols};
    result.owners.push_back(made);
  };
  const bool shared = weights.lm_head.data == weights.embed_tokens.data;
  replace(result.embed_tokens, Part::kEmbedTokens);
  if (shared) {
    result.lm_head = result.embed_tokens;
  } else {
    replace(result.lm_head, Part::kLmHead);
  }
  return result;
}

}  // namespace m2
