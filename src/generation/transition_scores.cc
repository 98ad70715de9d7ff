// compute_transition_scores of generation.h.
#include <algorithm>
#include <vector>

#include "base/error.h"
#include "generation/logits_processors.h"
#include "m2/generation.h"

namespace m2 {
namespace {

constexpr auto kInvalid = ErrorCode::kInvalidArgument;

std::int64_t element(const TensorView& view, std::int64_t index) {
  return view.dtype == DType::kI32 ? view.as<std::int32_t>()[index]
                                   : view.as<std::int64_t>()[index];
}

// The longest row without its filler.
std::int64_t longest_row(const TensorView& beam_indices) {
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < beam_indices.num_elements(); ++i) {
    if (element(beam_indices, i) >= 0) longest = std::max(longest, i % beam_indices.shape[1] + 1);
  }
  return longest;
}

void check_scores(std::span<const Tensor> scores) {
  M2_REQUIRE(kInvalid, !scores.empty(), "scores: expected one [rows, V] for each new token");
  for (const Tensor& step : scores) {
    M2_REQUIRE(kInvalid, step.shape().rank() == 2 && step.shape() == scores[0].shape(),
               "scores: expected ", scores[0].shape(), " for every token, got ", step.shape());
  }
}

// The score of a token in a row of a step.
float score_at(const Tensor& step, std::int64_t row, std::int64_t token, bool normalize) {
  const std::int64_t width = step.shape()[1];
  M2_REQUIRE(kInvalid, row >= 0 && row < step.shape()[0], "beam_indices: row ", row, " of ",
             step.shape()[0]);
  M2_REQUIRE(kInvalid, token >= 0 && token < width, "sequences: token ", token, " of ", width);
  const float* scores = step.as<float>() + row * width;
  if (!normalize) return scores[token];
  std::vector<float> normalized(scores, scores + width);
  generation::log_softmax(normalized);
  return normalized[static_cast<std::size_t>(token)];
}

}  // namespace

Tensor compute_transition_scores(const TensorView& sequences, std::span<const Tensor> scores,
                                 const TensorView& beam_indices, bool normalize_logits) {
  check_scores(scores);
  M2_REQUIRE(kInvalid, sequences.shape.rank() == 2, "sequences: expected [R, length], got ",
             sequences.shape);
  const std::int64_t num_rows = sequences.shape[0];
  const std::int64_t length = sequences.shape[1];
  const bool has_beams = beam_indices.present();
  if (has_beams) {
    M2_REQUIRE(kInvalid, beam_indices.shape.rank() == 2 && beam_indices.shape[0] == num_rows,
               "beam_indices: expected [", num_rows, ", steps], got ", beam_indices.shape);
  }
  const std::int64_t num_steps =
      has_beams ? longest_row(beam_indices) : static_cast<std::int64_t>(scores.size());
  M2_REQUIRE(kInvalid, num_steps <= length && num_steps <= static_cast<std::int64_t>(scores.size()),
             "sequences: ", length, " tokens and scores of ", scores.size(), ", fewer than ",
             num_steps, " steps");
  Tensor result(DType::kF32, {num_rows, num_steps});
  for (std::int64_t row = 0; row < num_rows; ++row) {
    for (std::int64_t step = 0; step < num_steps; ++step) {
      const std::int64_t source =
          has_beams ? element(beam_indices, row * beam_indices.shape[1] + step) : row;
      if (source < 0) continue;  // filler
      const std::int64_t token = element(sequences, row * length + length - num_steps + step);
      result.as<float>()[row * num_steps + step] =
          score_at(scores[static_cast<std::size_t>(step)], source, token, normalize_logits);
    }
  }
  return result;
}

}  // namespace m2
