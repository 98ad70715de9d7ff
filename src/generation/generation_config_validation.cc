// What a GenerationConfig may not say, and what it had better not say.
#include "m2/generation_config.h"

#include "base/error.h"
#include "generation/cache_names.h"
#include "generation/generation_config_fields.h"

#include <type_traits>

namespace m2 {
namespace {

template <typename T>
bool differs(const std::optional<T>& field, std::type_identity_t<T> off) {
  return field.has_value() && *field != off;
}

// Warnings that begin with the field's name.
class Doubts {
 public:
  void check(const char* name, bool is_doubtful, const char* reason) {
    if (is_doubtful) found_.push_back(concat(name, ": ", reason));
  }
  [[nodiscard]] std::vector<std::string> take() { return std::move(found_); }

 private:
  std::vector<std::string> found_;
};

void check_sampling(const GenerationConfig& config, Doubts& doubts) {
  if (config.do_sample.value_or(false)) return;
  constexpr const char* kReason = "has no effect without do_sample";
  doubts.check("temperature", differs(config.temperature, 1.0), kReason);
  doubts.check("top_p", differs(config.top_p, 1.0), kReason);
  doubts.check("min_p", config.min_p.has_value(), kReason);
  doubts.check("top_h", config.top_h.has_value(), kReason);
  doubts.check("typical_p", differs(config.typical_p, 1.0), kReason);
  doubts.check("top_k", differs(config.top_k, 50), kReason);
  doubts.check("epsilon_cutoff", differs(config.epsilon_cutoff, 0.0), kReason);
  doubts.check("eta_cutoff", differs(config.eta_cutoff, 0.0), kReason);
}

void check_beams(const GenerationConfig& config, Doubts& doubts) {
  if (config.num_beams.value_or(1) != 1) return;
  constexpr const char* kReason = "has no effect with one beam";
  doubts.check("early_stopping", differs(config.early_stopping, EarlyStopping::kNo), kReason);
  doubts.check("length_penalty", differs(config.length_penalty, 1.0), kReason);
}

void check_cache(const GenerationConfig& config, Doubts& doubts) {
  if (config.use_cache.value_or(true)) return;
  constexpr const char* kReason = "has no effect without use_cache";
  doubts.check("cache_implementation", config.cache_implementation.has_value(), kReason);
  doubts.check("cache_config", config.cache_config.has_value(), kReason);
}

void check_outputs(const GenerationConfig& config, Doubts& doubts) {
  if (config.return_dict_in_generate.value_or(false)) return;
  constexpr const char* kReason = "has no effect without return_dict_in_generate";
  doubts.check("output_scores", config.output_scores.value_or(false), kReason);
  doubts.check("output_logits", config.output_logits.value_or(false), kReason);
  doubts.check("output_hidden_states", config.output_hidden_states.value_or(false), kReason);
  doubts.check("output_attentions", config.output_attentions.value_or(false), kReason);
}

// Where the reference would fail later, on a tensor's shape or in a loop without end.
void require_at_least_one(const char* name, const std::optional<std::int64_t>& value) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, !value || *value >= 1, name, ": expected 1 or more, got ",
             *value);
}

void validate_assistance(const GenerationConfig& config) {
  require_at_least_one("num_assistant_tokens", config.num_assistant_tokens);
  require_at_least_one("prompt_lookup_num_tokens", config.prompt_lookup_num_tokens);
  require_at_least_one("max_matching_ngram_size", config.max_matching_ngram_size);
  const std::string schedule = config.num_assistant_tokens_schedule.value_or("constant");
  M2_REQUIRE(ErrorCode::kInvalidArgument,
             schedule == "constant" || schedule == "heuristic" || schedule == "heuristic_transient",
             "num_assistant_tokens_schedule: expected \"constant\", \"heuristic\" or "
             "\"heuristic_transient\", got \"",
             schedule, "\"");
}

}  // namespace

void generation::validate_fields(const GenerationConfig& config) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, !config.max_new_tokens || *config.max_new_tokens > 0,
             "max_new_tokens: expected more than 0, got ", *config.max_new_tokens);
  require_at_least_one("num_beams", config.num_beams);
  require_at_least_one("num_return_sequences", config.num_return_sequences);
  require_at_least_one("prefill_chunk_size", config.prefill_chunk_size);
  validate_assistance(config);
  if (config.cache_implementation) (void)cache_kind(*config.cache_implementation);
}

void GenerationConfig::validate() const {
  constexpr auto kInvalid = ErrorCode::kInvalidArgument;
  generation::validate_fields(*this);
  const std::int64_t beams = num_beams.value_or(1);
  const std::int64_t sequences = num_return_sequences.value_or(1);
  M2_REQUIRE(kInvalid, sequences == 1 || beams > 1 || do_sample.value_or(false),
             "num_return_sequences: ", sequences,
             " sequences need do_sample or num_beams, greedy decoding has only one");
  M2_REQUIRE(kInvalid, beams == 1 || sequences <= beams, "num_return_sequences: ", sequences,
             " sequences need as many beams, got num_beams ", beams);
}

std::vector<std::string> GenerationConfig::warnings() const {
  Doubts doubts;
  doubts.check("pad_token_id", pad_token_id.value_or(0) < 0, "is negative, which is no token id");
  check_sampling(*this, doubts);
  check_beams(*this, doubts);
  check_cache(*this, doubts);
  check_outputs(*this, doubts);
  return doubts.take();
}

}  // namespace m2
