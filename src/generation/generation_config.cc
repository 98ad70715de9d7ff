#include "m2/generation_config.h"

#include "base/error.h"
#include "generation/generation_config_fields.h"

#include <algorithm>

namespace m2 {
namespace {

GenerationConfig default_config() {
  GenerationConfig config;
  config.max_length = 20;
  config.min_length = 0;
  config.do_sample = false;
  config.num_beams = 1;
  config.early_stopping = EarlyStopping::kNo;
  config.length_penalty = 1.0;
  config.num_return_sequences = 1;
  config.use_cache = true;
  config.num_assistant_tokens = 20;
  config.num_assistant_tokens_schedule = "constant";
  config.assistant_confidence_threshold = 0.4;
  config.encoder_repetition_penalty = 1.0;
  config.repetition_penalty = 1.0;
  config.frequency_penalty = 0.0;
  config.presence_penalty = 0.0;
  config.no_repeat_ngram_size = 0;
  config.encoder_no_repeat_ngram_size = 0;
  config.remove_invalid_values = false;
  config.temperature = 1.0;
  config.top_k = 50;
  config.top_p = 1.0;
  config.typical_p = 1.0;
  config.epsilon_cutoff = 0.0;
  config.eta_cutoff = 0.0;
  config.return_dict_in_generate = false;
  config.output_scores = false;
  return config;
}

// The reference's rules for max_length: who gave it decides whether it counts the prompt.
void resolve_max_length(GenerationConfig& config, const GenerationConfig& call,
                        const PromptShape& prompt) {
  const bool embeds_only = prompt.num_embeds > 0 && prompt.num_embeds != prompt.num_tokens;
  if (config.max_new_tokens) {
    config.max_length = prompt.num_tokens + *config.max_new_tokens;
    return;
  }
  M2_REQUIRE(ErrorCode::kInvalidArgument, config.max_length,
             "max_length: turned off, and max_new_tokens is not given");
  if (embeds_only) {
    *config.max_length -= prompt.num_embeds;
  } else if (!call.max_length) {
    *config.max_length += prompt.num_tokens;
    if (prompt.max_position_embeddings > 0) {
      config.max_length = std::min(*config.max_length, prompt.max_position_embeddings);
    }
  }
}

void resolve_min_length(GenerationConfig& config, const PromptShape& prompt) {
  const bool embeds_only = prompt.num_embeds > 0 && prompt.num_embeds != prompt.num_tokens;
  if (config.min_new_tokens) {
    config.min_length = prompt.num_tokens + *config.min_new_tokens;
  } else if (embeds_only && config.min_length) {
    config.min_length = std::max<std::int64_t>(*config.min_length - prompt.num_embeds, 0);
  }
}

std::vector<std::string> length_warnings(const GenerationConfig& config,
                                         const GenerationConfig& call) {
  std::vector<std::string> warnings;
  if (call.max_new_tokens && call.max_length) {
    warnings.emplace_back("max_length: max_new_tokens is set too and takes precedence");
  }
  if (call.min_new_tokens && call.min_length) {
    warnings.emplace_back("min_length: min_new_tokens is set too and takes precedence");
  }
  if (config.min_length && *config.min_length > *config.max_length) {
    warnings.push_back(concat("min_length: ", *config.min_length, " is above max_length ",
                              *config.max_length, "; generation stops at the maximum"));
  }
  return warnings;
}

}  // namespace

GenerationConfig GenerationConfig::merge(const GenerationConfig& over) const {
  GenerationConfig merged = *this;
  generation::visit_fields([&](const auto& field) {
    if ((over.*field.member).has_value()) {
      merged.*field.member = over.*field.member;
      merged.turned_off.erase(field.name);
    } else if (over.turned_off.contains(field.name)) {
      (merged.*field.member).reset();
    }
  });
  merged.turned_off.insert(over.turned_off.begin(), over.turned_off.end());
  for (const auto& [name, value] : over.neutral) merged.neutral[name] = value;
  return merged;
}

GenerationConfig GenerationConfig::with_defaults() const { return default_config().merge(*this); }

ResolvedGeneration resolve_generation_config(const GenerationConfig& model,
                                             const GenerationConfig& call,
                                             const PromptShape& prompt) {
  M2_CHECK(prompt.num_tokens >= 0 && prompt.num_embeds >= 0, "the prompt has a negative length");
  ResolvedGeneration resolved;
  GenerationConfig& config = resolved.config;
  config = model.merge(call).with_defaults();
  config.validate();
  resolve_max_length(config, call, prompt);
  resolve_min_length(config, prompt);
  M2_REQUIRE(ErrorCode::kInvalidArgument, prompt.num_tokens < *config.max_length,
             "max_length: the prompt has ", prompt.num_tokens, " tokens, the limit is ",
             *config.max_length, "; give more max_length or max_new_tokens");
  resolved.warnings = config.warnings();
  for (auto& text : length_warnings(config, call)) resolved.warnings.push_back(std::move(text));
  if (!config.pad_token_id && config.eos_token_id && !config.eos_token_id->empty()) {
    config.pad_token_id = config.eos_token_id->front();
    resolved.warnings.push_back(
        concat("pad_token_id: not set, using the end-of-sequence id ", *config.pad_token_id));
  }
  return resolved;
}

}  // namespace m2
