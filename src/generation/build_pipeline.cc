// Which processors a configuration asks for, in the reference's order.
#include "generation/logits_pipeline.h"

#include "base/error.h"
#include "generation/logits_penalties.h"
#include "generation/logits_processors.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

namespace m2::generation {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr const char* kTemperature = "temperature";
constexpr const char* kTopK = "top_k";

// Builds the list of steps; each add_ function holds one stretch of the reference's order.
class PipelineBuilder {
 public:
  PipelineBuilder(const GenerationConfig& config, const PipelineOptions& options)
      : config_(config),
        options_(options),
        num_tokens_(options.num_valid_tokens > 0 ? options.num_valid_tokens : options.vocab_size) {
    M2_CHECK(options.vocab_size > 0 && num_tokens_ <= options.vocab_size, num_tokens_,
             " valid tokens of ", options.vocab_size);
    M2_CHECK(options.prompt_length >= 0 && options.min_tokens_to_keep >= 1);
    if (config.eos_token_id) eos_ = *config.eos_token_id;
  }

  LogitsPipeline build() {
    if (config_.guidance_scale.value_or(1.0) != 1.0) add_guidance();
    add_repetition_steps();
    add_length_steps();
    add_value_steps();
    add_custom_steps();
    if (config_.do_sample.value_or(false)) {
      add_shape_filters();
      add_threshold_filters();
    }
    if (config_.renormalize_logits.value_or(false)) {
      add("renormalize_logits", [](const auto&, auto scores, auto&) { log_softmax(scores); });
    }
    return LogitsPipeline(std::move(steps_), options_, num_until_cut());
  }

 private:
  // The steps before the cut must treat a score alike wherever it stands; those after it see only
  // what it kept.
  [[nodiscard]] std::optional<std::size_t> num_until_cut() const {
    if (!config_.do_sample.value_or(false)) {
      return steps_.empty() ? std::optional<std::size_t>(0) : std::nullopt;
    }
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      if (steps_[i].name == kTopK) return i + 1;
      if (steps_[i].name != kTemperature) break;
    }
    return std::nullopt;
  }

  template <typename Run>
  void add(const char* name, Run run) {
    steps_.push_back({.name = name, .run = std::move(run)});
  }

  template <typename... Parts>
  static void require(bool condition, const Parts&... parts) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, condition, parts...);
  }

  void require_known_ids(const char* name, const Ids& ids) const {
    for (const std::int32_t id : ids) {
      require(id >= 0 && id < num_tokens_, name, ": id ", id, " is outside the vocabulary of ",
              num_tokens_, " tokens");
    }
  }

  // Penalties are off at 1.
  static bool is_active_penalty(const char* name, const std::optional<double>& penalty) {
    if (!penalty || *penalty == 1.0) return false;
    require(*penalty > 0.0, name, ": expected more than 0, got ", *penalty);
    return true;
  }

  void add_bias(const char* name, const std::vector<SequenceBias>& biases) {
    require(!biases.empty(), name, ": expected a non-empty list");
    for (const auto& bias : biases) {
      require(!bias.ids.empty(), name, ": expected non-empty lists of ids");
      require_known_ids(name, bias.ids);
    }
    auto table = std::make_shared<const SequenceBiasTable>(biases);
    add(name, [table](const StepContext& context, auto scores, auto&) {
      table->apply(context.ids, scores);
    });
  }

  void add_guidance() {
    add("guidance_scale",
        [scale = *config_.guidance_scale](const StepContext& context, auto scores, auto& scratch) {
          apply_guidance(context.unconditional, scale, scores, scratch);
        });
  }

  void add_repetition_steps() {
    if (config_.sequence_bias) add_bias("sequence_bias", *config_.sequence_bias);
    const auto prompt = static_cast<std::size_t>(options_.prompt_length);
    if (is_active_penalty("encoder_repetition_penalty", config_.encoder_repetition_penalty)) {
      add("encoder_repetition_penalty",
          [prompt, penalty = 1.0 / *config_.encoder_repetition_penalty](
              const StepContext& context, auto scores, auto& scratch) {
            apply_repetition_penalty(context.ids.first(prompt), scores, penalty, scratch);
          });
    }
    if (is_active_penalty("repetition_penalty", config_.repetition_penalty)) {
      add("repetition_penalty", [penalty = *config_.repetition_penalty](
                                    const StepContext& context, auto scores, auto& scratch) {
        apply_repetition_penalty(context.ids, scores, penalty, scratch);
      });
    }
    add_count_penalties();
    if (config_.no_repeat_ngram_size.value_or(0) > 0) {
      add("no_repeat_ngram_size",
          [n = *config_.no_repeat_ngram_size](const StepContext& context, auto scores, auto&) {
            ban_repeated_ngrams(context.ids, context.ids, n, scores);
          });
    }
    if (config_.encoder_no_repeat_ngram_size.value_or(0) > 0) {
      add("encoder_no_repeat_ngram_size", [prompt, n = *config_.encoder_no_repeat_ngram_size](
                                              const StepContext& context, auto scores, auto&) {
        ban_repeated_ngrams(context.ids.first(prompt), context.ids, n, scores);
      });
    }
    add_bad_words();
  }

  void add_count_penalties() {
    const double frequency = config_.frequency_penalty.value_or(0.0);
    const double presence = config_.presence_penalty.value_or(0.0);
    if (frequency == 0.0 && presence == 0.0) return;
    add("frequency_penalty", [prompt = static_cast<std::size_t>(options_.prompt_length), frequency,
                              presence](const StepContext& context, auto scores, auto& scratch) {
      apply_count_penalties(context.ids.subspan(prompt), scores, frequency, presence, scratch);
    });
  }

  void add_bad_words() {
    if (!config_.bad_words_ids) return;
    require(!config_.bad_words_ids->empty(), "bad_words_ids: expected a non-empty list");
    std::vector<SequenceBias> bans;
    for (const Ids& word : *config_.bad_words_ids) {
      if (word.size() == 1 && std::ranges::count(eos_, word[0]) > 0) continue;
      bans.push_back({.ids = word, .bias = -std::numeric_limits<float>::infinity()});
    }
    if (!bans.empty()) add_bias("bad_words_ids", bans);
  }

  void add_length_steps() {
    const auto prompt = static_cast<std::size_t>(options_.prompt_length);
    const auto ban_eos_below = [&](const char* name, std::size_t length) {
      add(name, [length, eos = eos_](const StepContext& context, auto scores, auto&) {
        if (context.ids.size() < length) ban_tokens(eos, scores);
      });
    };
    if (!eos_.empty() && config_.min_length.value_or(0) > 0) {
      ban_eos_below("min_length", static_cast<std::size_t>(*config_.min_length));
    }
    if (!eos_.empty() && config_.min_new_tokens.value_or(0) > 0) {
      ban_eos_below("min_new_tokens", prompt + static_cast<std::size_t>(*config_.min_new_tokens));
    }
    if (options_.allowed_tokens) add_allowed_tokens();
    if (config_.forced_bos_token_id) {
      const Ids bos = {*config_.forced_bos_token_id};
      require_known_ids("forced_bos_token_id", bos);
      add("forced_bos_token_id", [bos](const StepContext& context, auto scores, auto&) {
        if (context.ids.size() == 1) force_tokens(bos, scores);
      });
    }
    if (config_.forced_eos_token_id) add_forced_eos();
  }

  void add_allowed_tokens() {
    add("prefix_allowed_tokens_fn", [allowed = options_.allowed_tokens](
                                        const StepContext& context, auto scores, auto& scratch) {
      const Ids ids = allowed(context);
      require(!ids.empty(), "prefix_allowed_tokens_fn: no token is allowed for prompt ",
              context.batch_index);
      allow_only(ids, scores, scratch);
    });
  }

  void add_forced_eos() {
    require_known_ids("forced_eos_token_id", *config_.forced_eos_token_id);
    require(config_.max_length.has_value(), "forced_eos_token_id: needs max_length");
    add("forced_eos_token_id",
        [max_length = *config_.max_length, forced = *config_.forced_eos_token_id](
            const StepContext& context, auto scores, auto&) {
          const auto next_length = static_cast<std::int64_t>(context.ids.size()) + 1;
          if (next_length == max_length) force_tokens(forced, scores);
        });
  }

  void add_value_steps() {
    if (config_.remove_invalid_values.value_or(false)) {
      add("remove_invalid_values",
          [](const auto&, auto scores, auto&) { remove_invalid_values(scores); });
    }
    if (config_.exponential_decay_length_penalty) {
      require(!eos_.empty(), "exponential_decay_length_penalty: needs eos_token_id");
      const auto [start, factor] = *config_.exponential_decay_length_penalty;
      add("exponential_decay_length_penalty",
          [eos = eos_, factor = factor, start = start + options_.prompt_length](
              const StepContext& context, auto scores, auto& scratch) {
            const std::int64_t num_past = static_cast<std::int64_t>(context.ids.size()) - start;
            if (num_past > 0) apply_exponential_decay(eos, factor, num_past, scores, scratch);
          });
    }
    if (config_.suppress_tokens) {
      add("suppress_tokens", [ids = *config_.suppress_tokens](const auto&, auto scores, auto&) {
        ban_tokens(ids, scores);
      });
    }
    if (config_.begin_suppress_tokens) {
      // A forced first token moves the beginning behind it.
      const bool starts_later = options_.prompt_length <= 1 && config_.forced_bos_token_id;
      add("begin_suppress_tokens",
          [begin = static_cast<std::size_t>(options_.prompt_length + (starts_later ? 1 : 0)),
           ids = *config_.begin_suppress_tokens](const StepContext& context, auto scores, auto&) {
            if (context.ids.size() == begin) ban_tokens(ids, scores);
          });
    }
  }

  void add_custom_steps() {
    for (const LogitsStep& step : options_.custom) {
      const auto same = std::ranges::find(steps_, step.name, &LogitsStep::name);
      if (same != steps_.end()) {
        same->run = step.run;
      } else {
        steps_.push_back(step);
      }
    }
  }

  void add_shape_filters() {
    const std::int64_t min_keep = options_.min_tokens_to_keep;
    if (config_.temperature.value_or(1.0) != 1.0) {
      const double temperature = *config_.temperature;
      require(temperature > 0.0, "temperature: expected more than 0, got ", temperature,
              "; for greedy decoding set do_sample to false");
      add(kTemperature, [temperature](const auto&, auto scores, auto&) {
        apply_temperature(scores, temperature);
      });
    }
    if (config_.top_h) {
      require(*config_.top_h > 0.0 && *config_.top_h <= 1.0,
              "top_h: expected a value in (0, 1], "
              "got ",
              *config_.top_h);
      add("top_h", [top_h = *config_.top_h](const auto&, auto scores, auto& scratch) {
        apply_top_h(scores, top_h, scratch);
      });
    }
    if (config_.top_k.value_or(0) != 0) {
      require(*config_.top_k > 0, "top_k: expected 0 (off) or more, got ", *config_.top_k);
      add(kTopK, [k = std::max(*config_.top_k, min_keep)](const auto&, auto scores, auto& scratch) {
        apply_top_k(scores, k, scratch);
      });
    }
    if (config_.top_p.value_or(1.0) < 1.0) {
      require(*config_.top_p >= 0.0, "top_p: expected a value in [0, 1], got ", *config_.top_p);
      add("top_p", [top_p = *config_.top_p, min_keep](const auto&, auto scores, auto& scratch) {
        apply_top_p(scores, top_p, min_keep, scratch);
      });
    }
    if (config_.min_p) {
      require(*config_.min_p >= 0.0 && *config_.min_p <= 1.0,
              "min_p: expected a value in [0, 1], got ", *config_.min_p);
      add("min_p", [min_p = *config_.min_p, min_keep](const auto&, auto scores, auto& scratch) {
        apply_min_p(scores, min_p, min_keep, scratch);
      });
    }
  }

  void add_threshold_filters() {
    const std::int64_t min_keep = options_.min_tokens_to_keep;
    const auto is_fraction = [](const std::optional<double>& value) {
      return value && *value > 0.0 && *value < 1.0;
    };
    if (config_.typical_p.value_or(1.0) < 1.0) {
      require(*config_.typical_p > 0.0, "typical_p: expected a value in (0, 1), got ",
              *config_.typical_p);
      add("typical_p",
          [mass = *config_.typical_p, min_keep](const auto&, auto scores, auto& scratch) {
            apply_typical_p(scores, mass, min_keep, scratch);
          });
    }
    if (is_fraction(config_.epsilon_cutoff)) {
      add("epsilon_cutoff",
          [epsilon = *config_.epsilon_cutoff, min_keep](const auto&, auto scores, auto& scratch) {
            apply_epsilon_cutoff(scores, epsilon, min_keep, scratch);
          });
    }
    if (is_fraction(config_.eta_cutoff)) {
      add("eta_cutoff",
          [epsilon = *config_.eta_cutoff, min_keep](const auto&, auto scores, auto& scratch) {
            apply_eta_cutoff(scores, epsilon, min_keep, scratch);
          });
    }
  }

  const GenerationConfig& config_;
  const PipelineOptions& options_;
  std::int64_t num_tokens_;
  Ids eos_;
  std::vector<LogitsStep> steps_;
};

}  // namespace

LogitsPipeline build_pipeline(const GenerationConfig& config, const PipelineOptions& options) {
  return PipelineBuilder(config, options).build();
}

}  // namespace m2::generation
