// Greedy decoding and sampling.
#include <algorithm>

#include "generation/generate/search.h"

namespace m2::generation {
namespace {

// Appends a token to every row; rows that have ended are filled up if an end token exists. Without
// one the reference lets them run on.
void append_tokens(Search& search, const Tensor& scores, const std::vector<bool>& done) {
  const auto width = static_cast<std::size_t>(search.vocab_size());
  const bool pads = search.stopping().has_eos();
  for (std::size_t row = 0; row < search.rows().size(); ++row) {
    Ids& ids = search.rows()[row];
    const std::span<const float> row_scores(scores.as<float>() + row * width, width);
    ids.push_back(done[row] && pads
                      ? search.config().pad_token_id.value_or(0)
                      : search.choose(row_scores, static_cast<std::int64_t>(row), ids.size()));
  }
}

}  // namespace

void run_token_loop(Search& search) {
  std::vector<Ids>& rows = search.rows();
  std::vector<bool> done(rows.size(), false);
  search.prefill();
  while (std::ranges::count(done, false) > 0) {
    const Tensor scores = search.next_scores(ScoreKind::kLogits);
    append_tokens(search, scores, done);
    search.stream(std::span(rows[0]).last(1));
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (!done[row]) {
        done[row] = search.stopping().ends(rows[row], static_cast<std::int64_t>(row));
      }
    }
  }
}

}  // namespace m2::generation
