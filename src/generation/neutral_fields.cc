#include "generation/neutral_fields.h"

#include "base/error.h"

#include <nlohmann/json.hpp>

#include <initializer_list>
#include <vector>

namespace m2::generation {
namespace {

using nlohmann::json;

// The values besides null that mean "off", and the mode's name.
struct NeutralField {
  const char* name;
  std::vector<json> off;
  const char* mode;
};

const std::vector<NeutralField>& neutral_fields() {
  static const std::vector<NeutralField> kFields = {
      {"low_memory", {false}, "sequential beam search"},
      {"num_beam_groups", {1}, "group beam search"},
      {"diversity_penalty", {0.0}, "group beam search"},
      {"constraints", {}, "constrained beam search"},
      {"force_words_ids", {}, "constrained beam search"},
      {"penalty_alpha", {0.0}, "contrastive search"},
      {"dola_layers", {}, "DoLa decoding"},
      {"assistant_early_exit", {}, "self-speculation"},
      {"is_assistant", {false}, "a part of assisted generation"},
      {"assistant_lookbehind", {10}, "an assistant with another tokenizer"},
      {"target_lookbehind", {10}, "an assistant with another tokenizer"},
      {"watermarking_config", {}, "watermarking, whose green lists need torch's generator"},
      {"token_healing", {false}, "token healing"},
      {"compile_config", {}, "compilation"},
      {"disable_compile", {true, false}, "compilation"},
      {"decoder_start_token_id", {}, "an encoder-decoder model"},
  };
  return kFields;
}

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  for (const auto candidate : names) {
    if (name == candidate) return true;
  }
  return false;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace);
}

void require_off(const NeutralField& field, const json& value) {
  for (const json& off : field.off) {
    // Comparing types first: JSON numbers compare by value, and 1 and 1.0 both mean off.
    if (off.is_number() == value.is_number() && off == value) return;
  }
  fail(ErrorCode::kUnsupported, field.name, ": ", dump(value).substr(0, 80), " asks for ",
       field.mode, ", which is not supported");
}

}  // namespace

bool is_metadata(std::string_view name) {
  return is_one_of(name, {"transformers_version", "_from_model_config", "_commit_hash",
                          "_original_object_hash"});
}

bool is_call_argument(std::string_view name) {
  return is_one_of(name, {"logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn",
                          "synced_gpus", "assistant_model", "streamer", "negative_prompt_ids",
                          "negative_prompt_attention_mask"});
}

bool read_neutral_field(const std::string& name, const json& value,
                        std::map<std::string, std::string>& neutral) {
  bool is_known = is_metadata(name);
  for (const NeutralField& field : neutral_fields()) {
    if (name != field.name) continue;
    is_known = true;
    if (!value.is_null()) require_off(field, value);
  }
  if (!is_known) return false;
  if (value.is_null()) {
    neutral.erase(name);
  } else {
    neutral[name] = dump(value);
  }
  return true;
}

}  // namespace m2::generation
