// How to generate: the fields of the reference's generation_config.json and where each value
// comes from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace m2 {

/// Adds `bias` to the last id of `ids` whenever the text ends with the others.
struct SequenceBias {
  std::vector<std::int32_t> ids;
  float bias = 0.0F;
  bool operator==(const SequenceBias&) const = default;
};

/// From `start` new tokens on, the score of the end-of-sequence ids grows by |score| *
/// (factor^n - 1), n being the number of tokens after the start.
struct ExponentialDecay {
  std::int64_t start = 0;
  double factor = 1.0;
  bool operator==(const ExponentialDecay&) const = default;
};

/// When beam search stops although beams are still running.
enum class EarlyStopping {
  kNo,     ///< when no running beam can beat the worst finished one at its present length
  kYes,    ///< as soon as num_beams candidates are finished
  kNever,  ///< the same as kNo, judged at the length that would serve the running beam best
};

/// What a quantised cache is made with.
struct QuantizedCacheConfig {
  std::int64_t nbits = 4;
  std::int64_t q_group_size = 64;
  std::int64_t residual_length = 128;
  bool operator==(const QuantizedCacheConfig&) const = default;
};

/// Generation options, named as in generation_config.json. An empty field is "not set": a lower
/// source or the default fills it (merge, with_defaults). Ranges of the score-shaping fields are
/// checked where they become active, so a value that does not matter does no harm.
struct GenerationConfig {
  // Length and stopping. "cur" is the current length, prompt included.
  std::optional<std::int64_t> max_length;      ///< total tokens; see resolve_generation_config
  std::optional<std::int64_t> max_new_tokens;  ///< beats max_length
  std::optional<std::int64_t> min_length;      ///< no end of sequence while cur is below
  std::optional<std::int64_t> min_new_tokens;  ///< the same, for new tokens
  std::optional<double> max_time;              ///< seconds; a step begun is completed
  std::optional<std::vector<std::string>> stop_strings;   ///< matched on text, outside the engine
  std::optional<std::vector<std::int32_t>> eos_token_id;  ///< any of them ends the sequence
  std::optional<std::int32_t> pad_token_id;               ///< fills ended rows; else eos[0]
  std::optional<std::int32_t> bos_token_id;               ///< the prompt when none is given
  std::optional<std::int32_t> forced_bos_token_id;        ///< forced when cur == 1
  std::optional<std::vector<std::int32_t>> forced_eos_token_id;  ///< when cur == max_length - 1

  // Strategy.
  std::optional<bool> do_sample;  ///< sampling; otherwise the best token
  std::optional<std::int64_t> num_beams;
  std::optional<EarlyStopping> early_stopping;  ///< beams only
  std::optional<double> length_penalty;         ///< beams only: score / new tokens ^ length_penalty
  std::optional<std::int64_t> num_return_sequences;
  std::optional<bool> use_cache;
  std::optional<double> guidance_scale;  ///< classifier-free guidance with a negative prompt
  std::optional<std::int64_t> num_assistant_tokens;  ///< draft length; of the assistant's config
  std::optional<std::string> num_assistant_tokens_schedule;  ///< likewise
  std::optional<double> assistant_confidence_threshold;      ///< likewise: a draft ends below it
  std::optional<std::int64_t> prompt_lookup_num_tokens;      ///< drafts from the prompt itself
  std::optional<std::int64_t> max_matching_ngram_size;       ///< of prompt lookup; empty: 2
  std::optional<std::string> cache_implementation;           ///< "dynamic", "static", ...
  std::optional<QuantizedCacheConfig> cache_config;          ///< of "quantized"
  std::optional<std::int64_t> prefill_chunk_size;            ///< prompt tokens in a forward pass
  std::optional<std::int64_t> seed;  ///< not in the reference: key of the sampler's generator

  // Score shaping, always active.
  std::optional<std::vector<SequenceBias>> sequence_bias;
  std::optional<double> encoder_repetition_penalty;  ///< acts on the prompt, with 1/penalty
  std::optional<double> repetition_penalty;          ///< prompt and output, once for each id
  std::optional<double> frequency_penalty;  ///< not in the reference: per generated occurrence
  std::optional<double> presence_penalty;   ///< not in the reference: per id that was generated
  std::optional<std::int64_t> no_repeat_ngram_size;
  std::optional<std::int64_t> encoder_no_repeat_ngram_size;  ///< n-grams of the prompt
  std::optional<std::vector<std::vector<std::int32_t>>> bad_words_ids;
  std::optional<bool> remove_invalid_values;  ///< NaN -> 0, infinities -> largest finite
  std::optional<ExponentialDecay> exponential_decay_length_penalty;
  std::optional<std::vector<std::int32_t>> suppress_tokens;
  std::optional<std::vector<std::int32_t>> begin_suppress_tokens;  ///< at the first new token
  std::optional<bool> renormalize_logits;

  // Score shaping when do_sample.
  std::optional<double> temperature;
  std::optional<double> top_h;
  std::optional<std::int64_t> top_k;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<double> typical_p;
  std::optional<double> epsilon_cutoff;
  std::optional<double> eta_cutoff;

  // What generate() returns besides the tokens.
  std::optional<bool> return_dict_in_generate;  ///< without it the others have no effect
  std::optional<bool> output_scores;
  std::optional<bool> output_logits;
  std::optional<bool> output_hidden_states;
  std::optional<bool> output_attentions;

  /// Fields of modes that are not done here, present at a value that means "off", and metadata:
  /// name -> JSON text. They are written back by to_json and have no effect.
  std::map<std::string, std::string> neutral;

  /// Names that a call turned off by an explicit null (update_from_json): merge and with_defaults
  /// leave these empty instead of filling them.
  std::set<std::string> turned_off;

  /// Reads a JSON object. Throws kInvalidArgument for a text that is not one, unknown names, wrong
  /// types and arguments that belong to a call; kUnsupported for modes that are not done.
  /// A null is as good as an absent field.
  static GenerationConfig from_json(std::string_view text);

  /// Reads generation_config.json of a model folder; where it is absent, the generation fields that
  /// stand in its config.json (other fields there are the model's); where that is absent, too, what
  /// the GGUF file says that `path` is or has. Throws kNotFound without any, kCorruptFile for a
  /// file that is no JSON object.
  static GenerationConfig from_pretrained(const std::filesystem::path& path);

  /// Sets the fields that the JSON object names, as keywords of a call do; a null turns a field
  /// off for good. Throws as from_json does and then changes nothing; fields that contradict each
  /// other are left to validate(), for what they lack may come from another source.
  void update_from_json(std::string_view text);

  /// The fields that are set, as the text of generation_config.json.
  [[nodiscard]] std::string to_json() const;

  /// Writes generation_config.json into an existing folder. Throws kInvalidArgument for a
  /// configuration with warnings(), so that doubtful settings are not handed on.
  void save_pretrained(const std::filesystem::path& directory) const;

  /// This configuration with every field that `over` sets (or turned off) taken from there.
  [[nodiscard]] GenerationConfig merge(const GenerationConfig& over) const;

  /// Empty fields filled with the library's defaults (max_length 20, top_k 50, ...).
  [[nodiscard]] GenerationConfig with_defaults() const;

  /// Throws kInvalidArgument for fields that contradict each other.
  void validate() const;

  /// Settings that have no effect or look like mistakes, one sentence each.
  [[nodiscard]] std::vector<std::string> warnings() const;

  bool operator==(const GenerationConfig&) const = default;
};

/// What the lengths depend on.
struct PromptShape {
  std::int64_t num_tokens = 0;  ///< P: prompt ids, 0 when only embeddings are given
  std::int64_t num_embeds = 0;  ///< rows of input embeddings, 0 when only ids are given
  std::int64_t max_position_embeddings = 0;  ///< of the model; 0: unknown
};

struct ResolvedGeneration {
  GenerationConfig config;  ///< max_length and min_length are absolute; pad_token_id is filled
  std::vector<std::string> warnings;
};

/// The values that a call runs with: the call's, else the model's, else the default. max_length
/// counts the prompt if the call gave it; a max_length of the model's configuration (or the default
/// 20) is a number of new tokens and is clamped to max_position_embeddings, as in the reference.
/// Throws kInvalidArgument where nothing could be generated.
ResolvedGeneration resolve_generation_config(const GenerationConfig& model,
                                             const GenerationConfig& call,
                                             const PromptShape& prompt);

}  // namespace m2
