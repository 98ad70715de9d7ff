// What every way of generating works with: the rows, the model, the processors, the outputs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "generation/generate/guidance.h"
#include "generation/generate/model_run.h"
#include "generation/generate/stop_rules.h"
#include "generation/logits_pipeline.h"
#include "generation/sampler.h"
#include "m2/generation.h"

namespace m2::generation {

enum class ScoreKind {
  kLogits,
  kLogProbs,  ///< beam search: processors work on the log-softmax
};

/// What a search begins with.
struct SearchInputs {
  GenerationConfig config;   // resolved
  std::vector<Ids> prompts;  // B of [P]
  PromptColumns columns;     // of the prompts
  std::shared_ptr<Cache> cache;
  std::int64_t copies = 1;  // rows of each prompt
  std::uint64_t seed = 0;
};

/// One call of generate(). R = B * copies rows.
class Search {
 public:
  Search(const GeneratingModel& model, SearchInputs inputs, const GenerateOptions& options);

  [[nodiscard]] const GenerationConfig& config() const { return config_; }
  [[nodiscard]] const GenerateOptions& options() const { return options_; }
  [[nodiscard]] const StopRules& stopping() const { return stopping_; }
  [[nodiscard]] std::vector<Ids>& rows() { return rows_; }
  [[nodiscard]] std::int64_t prompt_length() const { return prompt_length_; }
  [[nodiscard]] std::int64_t vocab_size() const { return vocab_size_; }
  [[nodiscard]] bool do_sample() const { return config_.do_sample.value_or(false); }
  [[nodiscard]] ModelRun& run() { return run_; }
  [[nodiscard]] GenerateOutput& output() { return output_; }

  /// Computes the prompt but for its last piece, where prefill_chunk_size asks for it.
  void prefill();
  /// Feeds `rows` and returns their scores, [R * num_logits, V], unprocessed. Throws kCancelled.
  MoeCausalLMOutputWithPast advance(std::span<const Ids> rows, std::int64_t num_logits);
  /// One step of rows(): scores [R, V] after all processors. Records what is asked for.
  Tensor next_scores(ScoreKind kind);
  /// Runs the processors on the scores [V] of the token after `ids`. `position`: which of the last
  /// num_logits positions of advance().
  void process(std::span<const std::int32_t> ids, std::int64_t row, std::int64_t position,
               std::span<float> scores);
  /// As ModelRun's, for the unconditional stream too.
  void reorder(std::span<const std::int64_t> parents);
  void crop(std::int64_t num_tokens);

  /// The key of a draw for the token behind `length` others of a row.
  [[nodiscard]] DrawKey draw_key(std::int64_t row, std::size_t length, DrawPurpose purpose) const;
  /// Draws or takes the best, as the configuration says.
  [[nodiscard]] std::int32_t choose(std::span<const float> scores, std::int64_t row,
                                    std::size_t length) const;
  /// A pipeline of `config` for these prompts, without the unconditional stream.
  [[nodiscard]] LogitsPipeline make_pipeline(GenerationConfig config) const;
  [[nodiscard]] LogitsScratch& scratch() { return scratch_; }

  void stream(std::span<const std::int32_t> tokens);
  void end_stream();

  [[nodiscard]] bool records_scores() const { return records(config_.output_scores); }
  [[nodiscard]] bool records_logits() const { return records(config_.output_logits); }
  [[nodiscard]] bool records_hidden_states() const { return records(config_.output_hidden_states); }
  [[nodiscard]] bool records_attentions() const { return records(config_.output_attentions); }

  /// Fills sequences from rows(), the cache and the last warnings.
  GenerateOutput finish();

 private:
  [[nodiscard]] bool records(const std::optional<bool>& flag) const {
    return config_.return_dict_in_generate.value_or(false) && flag.value_or(false);
  }
  [[nodiscard]] PipelineOptions pipeline_options() const;
  [[nodiscard]] std::optional<Guidance> make_guidance(const GeneratingModel& model) const;
  [[nodiscard]] RunOptions run_options() const;

  GenerationConfig config_;
  const GenerateOptions& options_;
  std::int64_t num_prompts_;    // B
  std::int64_t prompt_length_;  // P
  std::int64_t copies_;
  std::int64_t vocab_size_;
  std::int64_t max_position_embeddings_;
  std::uint64_t seed_;
  std::vector<Ids> rows_;  // R
  ModelRun run_;
  std::optional<Guidance> guidance_;
  Tensor unconditional_;  // [R * num_logits, V] of the last advance()
  std::int64_t num_logits_ = 1;
  LogitsScratch scratch_;
  LogitsPipeline pipeline_;
  StopRules stopping_;
  GenerateOutput output_;
};

/// The searches. rows() hold the prompts before and the sequences after.
void run_token_loop(Search& search);
void run_beam_search(Search& search);

/// [rows, columns] of i64 from rows of one length.
Tensor to_tensor(std::span<const Ids> rows);

}  // namespace m2::generation
