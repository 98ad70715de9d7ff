#include "generation/mode.h"

#include "base/error.h"
#include "generation/cache_names.h"

namespace m2::generation {

Mode choose_mode(const GenerationConfig& config, bool has_assistant) {
  const bool samples = config.do_sample.value_or(false);
  if (config.num_beams.value_or(1) > 1) return samples ? Mode::kBeamSample : Mode::kBeamSearch;
  if (has_assistant || config.prompt_lookup_num_tokens) {
    return samples ? Mode::kAssistedSample : Mode::kAssistedGreedy;
  }
  return samples ? Mode::kSample : Mode::kGreedy;
}

bool is_beam_mode(Mode mode) { return mode == Mode::kBeamSearch || mode == Mode::kBeamSample; }

bool is_assisted_mode(Mode mode) {
  return mode == Mode::kAssistedGreedy || mode == Mode::kAssistedSample;
}

void require_single_sequence(const GenerationConfig& config) {
  const auto require = [](bool is_single, const char* name) {
    M2_REQUIRE(ErrorCode::kUnsupported, is_single, name,
               ": is not supported here, only in generate() on rows of token ids");
  };
  require(config.num_beams.value_or(1) == 1, "num_beams");
  require(config.num_return_sequences.value_or(1) == 1, "num_return_sequences");
  require(!config.prompt_lookup_num_tokens, "prompt_lookup_num_tokens");
  require(config.guidance_scale.value_or(1.0) == 1.0, "guidance_scale");
  require(cache_kind(config.cache_implementation.value_or("dynamic")) == CacheKind::kDynamic,
          "cache_implementation");
}

}  // namespace m2::generation
