#include "generation/generate/generate.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/error.h"
#include "generation/cache_names.h"
#include "generation/generate/drafter.h"
#include "generation/generate/prompt.h"
#include "generation/generate/search.h"
#include "generation/mode.h"

namespace m2::generation {
namespace {

constexpr auto kInvalid = ErrorCode::kInvalidArgument;

void check_assistance(const GenerationConfig& config, const GeneratingModel& model,
                      const GeneratingModel* assistant, const GenerateInputs& inputs,
                      std::size_t num_prompts) {
  M2_REQUIRE(kInvalid, config.num_return_sequences.value_or(1) == 1,
             "num_return_sequences: has to be 1 in assisted generation, got ",
             *config.num_return_sequences);
  M2_REQUIRE(kInvalid, num_prompts == 1, "input_ids: assisted generation takes one row, got ",
             num_prompts);
  M2_REQUIRE(kInvalid, config.use_cache.value_or(true),
             "use_cache: assisted generation needs a cache");
  M2_REQUIRE(kInvalid, !inputs.past_key_values || inputs.past_key_values->get_max_cache_shape() < 0,
             "past_key_values: assisted generation needs a cache that grows");
  M2_REQUIRE(ErrorCode::kUnsupported, !inputs.inputs_embeds.present(),
             "inputs_embeds: is not supported in assisted generation");
  M2_REQUIRE(kInvalid, assistant == nullptr || assistant->vocab_size == model.vocab_size,
             "assistant_model: its vocabulary has ",
             assistant == nullptr ? 0 : assistant->vocab_size, " tokens, that of the model ",
             model.vocab_size);
}

void check_streamer(Mode mode, const GenerateOptions& options, std::size_t num_rows) {
  if (options.streamer == nullptr) return;
  M2_REQUIRE(kInvalid, !is_beam_mode(mode),
             "streamer: cannot be used with beam search; set num_beams to 1");
  M2_REQUIRE(kInvalid, num_rows == 1, "streamer: takes one row, got ", num_rows);
}

void check_cache(const GenerateInputs& inputs, const GenerationConfig& config,
                 const PromptColumns& columns) {
  if (!inputs.past_key_values) return;
  M2_REQUIRE(kInvalid, !config.cache_implementation,
             "cache_implementation: says how to make a cache, but past_key_values is given");
  const std::int64_t held = inputs.past_key_values->get_seq_length();
  M2_REQUIRE(kInvalid, held < columns.count, "past_key_values: holds ", held,
             " tokens, as many as the prompt's ", columns.count,
             " or more; the prompt is all tokens, with a new one at least");
}

// The caller's cache, or a new one as the configuration says; null without use_cache.
std::shared_ptr<Cache> make_cache(const GenerateInputs& inputs, const GenerationConfig& config,
                                  Mode mode, const PromptColumns& columns,
                                  std::vector<std::string>& warnings) {
  if (inputs.past_key_values) return inputs.past_key_values;
  if (!config.use_cache.value_or(true)) return nullptr;
  const std::string name = config.cache_implementation.value_or("dynamic");
  CacheKind kind = cache_kind(name);
  const bool offloading = is_offloaded(name);
  if (is_assisted_mode(mode) && kind != CacheKind::kDynamic) {
    warnings.push_back(concat("cache_implementation: \"", name,
                              "\" cannot be rolled back, assisted generation uses \"",
                              offloading ? "offloaded" : "dynamic", "\""));
    kind = CacheKind::kDynamic;
  }
  if (kind == CacheKind::kStatic) {
    const std::int64_t num_embeds = columns.has_ids ? 0 : columns.count;
    return std::make_shared<StaticCache>(*config.max_length - 1 + num_embeds, offloading);
  }
  if (kind == CacheKind::kQuantized) {
    const auto options = config.cache_config.value_or(QuantizedCacheConfig());
    return std::make_shared<QuantizedCache>(static_cast<int>(options.nbits),
                                            static_cast<int>(options.q_group_size),
                                            static_cast<int>(options.residual_length));
  }
  return std::make_shared<DynamicCache>(offloading);
}

// Embeddings are for the first step only, which a cache tells apart.
void require_cache_for_embeds(const GenerateInputs& inputs, GenerationConfig& config) {
  if (inputs.inputs_embeds.present()) config.use_cache = true;
}

PromptShape shape_of(const GeneratingModel& model, const GenerateInputs& inputs,
                     const std::vector<Ids>& prompts) {
  return {.num_tokens = static_cast<std::int64_t>(prompts[0].size()),
          .num_embeds = inputs.inputs_embeds.present() ? inputs.inputs_embeds.shape[1] : 0,
          .max_position_embeddings = model.max_position_embeddings};
}

void run_search(Mode mode, Search& search, const GeneratingModel* assistant,
                PromptColumns columns) {
  if (is_beam_mode(mode)) {
    run_beam_search(search);
  } else if (!is_assisted_mode(mode)) {
    run_token_loop(search);
  } else if (assistant != nullptr) {
    AssistantDrafter drafter(*assistant, std::move(columns), search);
    run_assisted(search, drafter);
  } else {
    PromptLookupDrafter drafter(search);
    run_assisted(search, drafter);
  }
}

}  // namespace

GeneratingModel generating_model(CausalLm& causal_lm, GenerationConfig& generation_config) {
  const MiniMaxM2Config& config = causal_lm.config();
  return {
      .forward = [&causal_lm](const ForwardInputs& inputs) { return causal_lm.forward(inputs); },
      .generation_config = &generation_config,
      .vocab_size = config.vocab_size,
      .max_position_embeddings = config.max_position_embeddings};
}

GenerateOutput generate(const GeneratingModel& model, const GeneratingModel* assistant,
                        const GenerateInputs& inputs, const GenerationConfig& call,
                        const GenerateOptions& options) {
  std::vector<Ids> prompts = read_prompts(inputs, model.generation_config->merge(call));
  auto [config, warnings] =
      resolve_generation_config(*model.generation_config, call, shape_of(model, inputs, prompts));
  require_cache_for_embeds(inputs, config);
  const Mode mode = choose_mode(config, assistant != nullptr);
  const std::int64_t copies =
      std::max(config.num_beams.value_or(1), config.num_return_sequences.value_or(1));
  check_streamer(mode, options, prompts.size() * static_cast<std::size_t>(copies));
  if (is_assisted_mode(mode)) check_assistance(config, model, assistant, inputs, prompts.size());
  if (is_beam_mode(mode) && (assistant != nullptr || config.prompt_lookup_num_tokens)) {
    warnings.emplace_back("num_beams: assistance is for one beam and is not used");
  }
  PromptColumns columns = read_columns(inputs, prompts, config, options.strict, warnings);
  check_cache(inputs, config, columns);
  std::shared_ptr<Cache> cache = make_cache(inputs, config, mode, columns, warnings);
  const std::uint64_t seed =
      config.seed ? static_cast<std::uint64_t>(*config.seed) : std::random_device()();
  Search search(model,
                {.config = std::move(config),
                 .prompts = std::move(prompts),
                 .columns = columns,
                 .cache = std::move(cache),
                 .copies = copies,
                 .seed = seed},
                options);
  search.output().warnings = std::move(warnings);
  if (options.streamer != nullptr) search.stream(search.rows()[0]);
  run_search(mode, search, assistant, std::move(columns));
  search.end_stream();
  return search.finish();
}

}  // namespace m2::generation
