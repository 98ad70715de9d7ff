#include "service/text_generation.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/memory_info.h"
#include "text/stop_strings.h"

namespace m2 {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

double rate(std::int64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

// Tokens to text, without the end token and from a stop string on.
class TextOutput {
 public:
  TextOutput(const Tokenizer& tokenizer, const GenerationConfig& config, const OnText& on_text)
      : detokenizer_(tokenizer, /*skip_special_tokens=*/true),
        stop_strings_(config.stop_strings.value_or(std::vector<std::string>{})),
        on_text_(on_text) {}

  void push(TokenId id) { give(stop_strings_.push(detokenizer_.push(id))); }
  void finish() {
    give(stop_strings_.push(detokenizer_.flush()));
    give(stop_strings_.finish());
  }
  [[nodiscard]] bool wants_more() const { return wants_more_ && !stop_strings_.matched(); }
  [[nodiscard]] std::string take_text() { return std::move(text_); }

 private:
  void give(const std::string& text) {
    if (text.empty()) return;
    text_ += text;
    if (on_text_ && wants_more_) wants_more_ = on_text_(text);
  }

  Detokenizer detokenizer_;
  StopStringMatcher stop_strings_;
  const OnText& on_text_;
  std::string text_;
  bool wants_more_ = true;
};

// The call's options with the context as the last limit of the length.
ResolvedGeneration resolve(const GenerationConfig& model, GenerationConfig call,
                           std::int64_t prompt_tokens, std::int64_t context) {
  const bool limited =
      call.max_new_tokens || call.max_length || model.max_new_tokens || model.max_length;
  if (!limited) call.max_length = context;
  ResolvedGeneration resolved = resolve_generation_config(
      model, call, {.num_tokens = prompt_tokens, .max_position_embeddings = context});
  resolved.config.max_length = std::min(resolved.config.max_length.value_or(context), context);
  return resolved;
}

EngineOptions engine_options(const LoadedModel& loaded, std::int64_t context, KvFormat kv_format) {
  return {.max_seqs = 1,
          .kv_cache = {.num_tokens = context, .format = kv_format},
          .num_valid_tokens = loaded.num_valid_tokens()};
}

}  // namespace

double GenerationTimings::prompt_tokens_per_second() const {
  return rate(prompt_tokens - cached_prompt_tokens, prompt_seconds);
}

double GenerationTimings::new_tokens_per_second() const {
  return rate(std::max<std::int64_t>(new_tokens - 1, 0), generation_seconds);
}

std::int64_t peak_memory_bytes() { return peak_resident_bytes(); }

TextGenerator::TextGenerator(LoadedModel& loaded, const TextGeneratorOptions& options)
    : loaded_(loaded),
      kv_format_(kv_format_from_name(options.kv_cache_dtype)
                     .value_or(default_kv_format(loaded.model().placement()))),
      context_(options.context > 0 ? options.context : loaded.default_context(kv_format_)),
      engine_(loaded.model(), engine_options(loaded, context_, kv_format_)) {}

TextResult TextGenerator::generate(const std::vector<TokenId>& prompt, const GenerationConfig& call,
                                   const OnText& on_text, const std::stop_token& stop) {
  const auto prompt_tokens = static_cast<std::int64_t>(prompt.size());
  M2_REQUIRE(ErrorCode::kResourceExhausted, prompt_tokens < context_, "the prompt has ",
             prompt_tokens, " tokens, the context has room for ", context_);
  ResolvedGeneration resolved = resolve(loaded_.generation_config(), call, prompt_tokens, context_);
  const auto eos = resolved.config.eos_token_id.value_or(std::vector<TokenId>{});
  const std::uint64_t seed = resolved.config.seed
                                 ? static_cast<std::uint64_t>(*resolved.config.seed)
                                 : std::random_device()();
  TextOutput output(loaded_.tokenizer(), resolved.config, on_text);
  TextResult result = {.warnings = std::move(resolved.warnings)};
  result.timings.prompt_tokens = prompt_tokens;

  const Clock::time_point start = Clock::now();
  Clock::time_point first_token = start;
  const RequestId request =
      engine_.submit({.prompt_ids = prompt, .config = std::move(resolved.config), .seed = seed});
  while (!engine_.idle()) {
    if (stop.stop_requested() || !output.wants_more()) engine_.cancel(request);
    for (const TokenEvent& event : engine_.step()) {
      M2_REQUIRE(ErrorCode::kInvalidArgument, event.error.empty(), event.error);
      if (event.finish_reason) result.finish_reason = *event.finish_reason;
      if (!event.token) continue;
      if (result.ids.empty()) first_token = Clock::now();
      result.timings.cached_prompt_tokens = event.num_prefix_tokens;
      result.ids.push_back(*event.token);
      if (std::ranges::count(eos, *event.token) == 0) output.push(*event.token);
    }
  }
  output.finish();
  if (!output.wants_more() && !stop.stop_requested()) result.finish_reason = FinishReason::kStop;
  result.timings.new_tokens = static_cast<std::int64_t>(result.ids.size());
  result.timings.prompt_seconds = seconds_between(start, first_token);
  result.timings.generation_seconds = seconds_between(first_token, Clock::now());
  if (const auto& cache = loaded_.causal_lm().weights().expert_cache) {
    result.timings.experts = cache->stats();
  }
  result.text = output.take_text();
  return result;
}

}  // namespace m2
