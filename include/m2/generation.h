// generate(): what it takes and what it returns. The options are in generation_config.h.
//
// R = B * num_return_sequences rows, P prompt length, N new tokens (steps), V vocabulary, n beams.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "m2/cache.h"
#include "m2/generation_config.h"
#include "m2/tensor.h"
#include "m2/tokenizer.h"

namespace m2 {

class MiniMaxM2ForCausalLM;
struct BatchEncoding;

/// The prompt. Without input_ids and inputs_embeds one row of bos_token_id.
struct GenerateInputs {
  TensorView input_ids;       // [B, P] i64 or i32
  TensorView attention_mask;  // [B, P]; default: all ones, or != pad where that is known and no eos
  TensorView position_ids;    // [B, P]; default: running count of real tokens
  /// [B, P, H], fed in place of the prompt's tokens; with input_ids these stand in the output.
  TensorView inputs_embeds;
  /// What it holds is not computed again: the first tokens of the prompt, not all of them.
  std::shared_ptr<Cache> past_key_values;

  GenerateInputs() = default;
  /// What a tokenizer returned; it must outlive the call.
  GenerateInputs(const BatchEncoding& encoding);  // NOLINT(google-explicit-constructor)
};

/// Gets tokens as they are chosen. put() is called first with the prompt, then with each step's
/// token; then end(). One row only.
class BaseStreamer {
 public:
  virtual ~BaseStreamer() = default;
  virtual void put(std::span<const std::int64_t> ids) = 0;
  virtual void end() = 0;
};

/// Turns tokens into text and gives it out when a word is complete: up to the last space, all of it
/// after a newline or a CJK character, the rest at the end.
class TextStreamer final : public BaseStreamer {
 public:
  struct Options {
    bool skip_prompt = false;
    bool skip_special_tokens = false;
  };
  /// `on_text` gets each piece; `stream_end` tells the last one, which may be empty.
  using OnText = std::function<void(std::string_view text, bool stream_end)>;

  TextStreamer(Tokenizer tokenizer, OnText on_text, Options options);
  TextStreamer(Tokenizer tokenizer, OnText on_text);
  ~TextStreamer() override;
  void put(std::span<const std::int64_t> ids) override;
  void end() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Changes the scores [V] of the next token of row `row`, whose tokens so far are `ids`; only those
/// of the ids that have a token, if GenerateOptions::num_valid_tokens says so.
using LogitsProcessor = std::function<void(std::span<const std::int32_t> ids, std::int64_t row,
                                           std::span<float> scores)>;
/// True ends the row `row` after its last token. Beam search asks for every candidate of its beams,
/// numbered in a row.
using StoppingCriterion = std::function<bool(std::span<const std::int32_t> ids, std::int64_t row)>;
/// The ids that may come next in a row of prompt `batch_index`.
using PrefixAllowedTokens = std::function<std::vector<std::int32_t>(
    std::int64_t batch_index, std::span<const std::int32_t> ids)>;

/// A processor with the name of an option ("repetition_penalty") takes the place of the one that
/// this option makes; others run after the built-in ones and before the sampling filters.
struct NamedLogitsProcessor {
  std::string name;
  LogitsProcessor process;
};

/// Arguments of a call that are no configuration.
struct GenerateOptions {
  std::vector<NamedLogitsProcessor> logits_processor;
  std::vector<StoppingCriterion> stopping_criteria;
  PrefixAllowedTokens prefix_allowed_tokens_fn;
  /// Drafts tokens that this model verifies; same vocabulary. Null: none.
  MiniMaxM2ForCausalLM* assistant_model = nullptr;
  TensorView negative_prompt_ids;             // [B, P-]: classifier-free guidance
  TensorView negative_prompt_attention_mask;  // [B, P-]
  BaseStreamer* streamer = nullptr;
  /// For stop_strings.
  const Tokenizer* tokenizer = nullptr;
  /// Asks for the end; the call then throws kCancelled.
  std::stop_token stop;
  /// Ids from here on have no token and are never chosen; 0: all V have one.
  std::int64_t num_valid_tokens = 0;
  /// Quirks of transformers 5.1.0 (docs/generation.md).
  bool strict = false;
};

/// With return_dict_in_generate and the output_* options the fields of the reference's records;
/// otherwise sequences alone.
struct GenerateOutput {
  Tensor sequences;            // [R, P + N] i64, filled with pad on the right
  Tensor sequences_scores;     // [R] f32, beams with output_scores
  std::vector<Tensor> scores;  // N of [R, V] (beams: [B * n, V]) after all processors
  std::vector<Tensor> logits;  // N of [R, V] (beams: [B * n, V]), raw
  Tensor beam_indices;         // [R, longest] i32, -1 as filler
  std::vector<std::vector<Tensor>> attentions;  // N of L; step 0 [R, Nq, P, P], then [R, Nq, 1, .]
  std::vector<std::vector<Tensor>> hidden_states;  // N of L + 1; step 0 [R, P, H], then [R, 1, H]
  std::shared_ptr<Cache> past_key_values;          // holds P + N - 1 tokens
  std::vector<std::string> warnings;
};

/// The score of every generated token, [R, N] f32: scores[t][row, token], where row follows
/// beam_indices if they are present (-1 gives 0). normalize_logits: log-softmax first.
Tensor compute_transition_scores(const TensorView& sequences, std::span<const Tensor> scores,
                                 const TensorView& beam_indices = {},
                                 bool normalize_logits = false);

}  // namespace m2
