// The rows of a call in lock step: what the model has seen of them and what it gets next.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "m2/cache.h"
#include "m2/generation_config.h"
#include "m2/modeling.h"
#include "m2/tensor.h"

namespace m2::generation {

using Ids = std::vector<std::int32_t>;

/// A model as generate() sees it.
struct GeneratingModel {
  std::function<MoeCausalLMOutputWithPast(const ForwardInputs&)> forward;
  /// Its own; an assistant's draft length is kept here (schedule "heuristic").
  GenerationConfig* generation_config = nullptr;
  std::int64_t vocab_size = 0;  // V
  std::int64_t max_position_embeddings = 0;
};

/// How the columns of a row are numbered for the rotary embedding.
enum class PositionRule {
  kFromMask,  ///< the running count of real tokens, 1 where there is padding
  kColumns,   ///< 0, 1, ...: padding counts
};

/// What B prompts hold besides their tokens. P columns: those of the embeddings if there are any,
/// else the tokens.
struct PromptColumns {
  std::int64_t num_prompts = 0;                      // B
  std::int64_t count = 0;                            // P
  std::vector<std::vector<std::uint8_t>> mask;       // B of [P], 0 = padding; empty: all are real
  std::vector<std::vector<std::int64_t>> positions;  // B of [P], the caller's; empty: by rule
  TensorView inputs_embeds;                          // [B, P, H] instead of tokens, or absent
  bool has_ids = true;                               // false: the rows' tokens begin behind them
  PositionRule position_rule = PositionRule::kFromMask;
  bool stale_positions = false;  // the caller's last position is that of all new tokens
};

struct RunOptions {
  std::int64_t copies = 1;  // rows of each prompt, next to each other
  bool output_hidden_states = false;
  bool output_attentions = false;
};

/// Feeds what the cache does not hold yet. There are B * copies rows, all of the same length. The
/// prompt is computed once for all its copies, which then share the blocks of the cache, unless
/// outputs are recorded for every row.
class ModelRun {
 public:
  /// Without a cache every step computes whole rows. A cache holds B rows, or one for every copy.
  ModelRun(const GeneratingModel& model, PromptColumns prompt, std::shared_ptr<Cache> cache,
           RunOptions options);

  /// Feeds all but at most `chunk_size` columns of `rows`, in pieces of that size.
  void prefill(std::span<const Ids> rows, std::int64_t chunk_size);
  /// Feeds the rest of `rows`; logits are those of the last `num_logits` columns.
  MoeCausalLMOutputWithPast advance(std::span<const Ids> rows, std::int64_t num_logits);
  /// Row i goes on as the former row parents[i], whose padding is the same.
  void reorder(std::span<const std::int64_t> parents);
  /// Forgets what the cache holds behind the first `num_tokens` tokens of the rows.
  void crop(std::int64_t num_tokens);

  [[nodiscard]] const std::shared_ptr<Cache>& cache() const { return cache_; }
  /// Columns that `rows` of this many tokens have.
  [[nodiscard]] std::int64_t num_columns(std::int64_t num_tokens) const {
    return num_tokens + (prompt_.has_ids ? 0 : prompt_.count);
  }

 private:
  [[nodiscard]] std::vector<Ids> first_copies(std::span<const Ids> rows) const;
  MoeCausalLMOutputWithPast feed(std::span<const Ids> rows, std::int64_t begin, std::int64_t end,
                                 std::int64_t num_logits);
  void set_tokens(std::span<const Ids> rows, std::int64_t begin, std::int64_t end);
  void set_embeds(std::size_t num_rows, std::int64_t begin, std::int64_t end);
  void set_mask(std::size_t num_rows, std::int64_t end);
  void set_positions(std::size_t num_rows, std::int64_t begin, std::int64_t end);
  [[nodiscard]] std::int64_t position_of(std::size_t prompt, std::int64_t column) const;
  [[nodiscard]] std::size_t prompt_of(std::size_t row, std::size_t num_rows) const {
    return row / (num_rows / static_cast<std::size_t>(prompt_.num_prompts));
  }
  [[nodiscard]] std::int64_t num_cached() const { return cache_ ? cache_->get_seq_length() : 0; }

  const GeneratingModel& model_;
  PromptColumns prompt_;
  std::vector<std::int64_t> next_position_;  // [B] of the first new token
  std::shared_ptr<Cache> cache_;
  RunOptions options_;
  bool shares_prompt_ = false;  // the cache still has one row for each prompt
  // What the inputs of the current call point at.
  ForwardInputs inputs_;
  std::vector<std::int32_t> tokens_;
  std::vector<std::uint8_t> mask_;
  std::vector<std::int64_t> positions_;
  Tensor embeds_;
};

}  // namespace m2::generation
