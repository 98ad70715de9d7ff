// The one list of the fields of GenerationConfig.
#pragma once

#include "m2/generation_config.h"

#include <tuple>

namespace m2::generation {

template <typename T>
struct ConfigField {
  const char* name;
  T GenerationConfig::*member;
};

#define M2_FIELD(name) \
  ConfigField { #name, &GenerationConfig::name }
inline constexpr auto kConfigFields = std::tuple{M2_FIELD(max_length),
                                                 M2_FIELD(max_new_tokens),
                                                 M2_FIELD(min_length),
                                                 M2_FIELD(min_new_tokens),
                                                 M2_FIELD(max_time),
                                                 M2_FIELD(stop_strings),
                                                 M2_FIELD(eos_token_id),
                                                 M2_FIELD(pad_token_id),
                                                 M2_FIELD(bos_token_id),
                                                 M2_FIELD(forced_bos_token_id),
                                                 M2_FIELD(forced_eos_token_id),
                                                 M2_FIELD(do_sample),
                                                 M2_FIELD(num_beams),
                                                 M2_FIELD(early_stopping),
                                                 M2_FIELD(length_penalty),
                                                 M2_FIELD(num_return_sequences),
                                                 M2_FIELD(use_cache),
                                                 M2_FIELD(guidance_scale),
                                                 M2_FIELD(num_assistant_tokens),
                                                 M2_FIELD(num_assistant_tokens_schedule),
                                                 M2_FIELD(assistant_confidence_threshold),
                                                 M2_FIELD(prompt_lookup_num_tokens),
                                                 M2_FIELD(max_matching_ngram_size),
                                                 M2_FIELD(cache_implementation),
                                                 M2_FIELD(cache_config),
                                                 M2_FIELD(prefill_chunk_size),
                                                 M2_FIELD(seed),
                                                 M2_FIELD(sequence_bias),
                                                 M2_FIELD(encoder_repetition_penalty),
                                                 M2_FIELD(repetition_penalty),
                                                 M2_FIELD(frequency_penalty),
                                                 M2_FIELD(presence_penalty),
                                                 M2_FIELD(no_repeat_ngram_size),
                                                 M2_FIELD(encoder_no_repeat_ngram_size),
                                                 M2_FIELD(bad_words_ids),
                                                 M2_FIELD(remove_invalid_values),
                                                 M2_FIELD(exponential_decay_length_penalty),
                                                 M2_FIELD(suppress_tokens),
                                                 M2_FIELD(begin_suppress_tokens),
                                                 M2_FIELD(renormalize_logits),
                                                 M2_FIELD(temperature),
                                                 M2_FIELD(top_h),
                                                 M2_FIELD(top_k),
                                                 M2_FIELD(top_p),
                                                 M2_FIELD(min_p),
                                                 M2_FIELD(typical_p),
                                                 M2_FIELD(epsilon_cutoff),
                                                 M2_FIELD(eta_cutoff),
                                                 M2_FIELD(return_dict_in_generate),
                                                 M2_FIELD(output_scores),
                                                 M2_FIELD(output_logits),
                                                 M2_FIELD(output_hidden_states),
                                                 M2_FIELD(output_attentions)};
#undef M2_FIELD

/// Calls visit(ConfigField<...>) for every optional field.
template <typename Visitor>
void visit_fields(Visitor&& visit) {
  std::apply([&](const auto&... field) { (visit(field), ...); }, kConfigFields);
}

/// The part of GenerationConfig::validate() that looks at one field at a time, for configurations
/// that are incomplete by nature.
void validate_fields(const GenerationConfig& config);

}  // namespace m2::generation
