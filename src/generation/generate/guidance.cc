#include "generation/generate/guidance.h"

#include <utility>

namespace m2::generation {

Guidance::Guidance(const GeneratingModel& model, std::vector<Ids> negative, PromptColumns columns,
                   std::int64_t prompt_length, std::int64_t copies, bool use_cache)
    : negative_(std::move(negative)),
      prompt_length_(prompt_length),
      copies_(copies),
      run_(model, std::move(columns), use_cache ? std::make_shared<DynamicCache>() : nullptr,
           {.copies = copies}) {}

Tensor Guidance::advance(std::span<const Ids> rows, std::int64_t num_logits) {
  rows_.resize(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    rows_[row] = negative_[row / static_cast<std::size_t>(copies_)];
    rows_[row].insert(rows_[row].end(), rows[row].begin() + prompt_length_, rows[row].end());
  }
  return std::move(run_.advance(rows_, num_logits).logits);
}

void Guidance::crop(std::int64_t num_tokens) {
  run_.crop(static_cast<std::int64_t>(negative_[0].size()) + num_tokens - prompt_length_);
}

}  // namespace m2::generation
