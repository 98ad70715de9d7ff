// A generation configuration from outside: reading, writing back, resolving, and running whatever
// pipeline it asks for must end in a result or in m2::Error.
#include "base/error.h"
#include "generation/logits_pipeline.h"
#include "generation/sampler.h"
#include "m2/generation_config.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

constexpr std::int64_t kVocab = 40;

void generate_some(const m2::GenerationConfig& config) {
  using namespace m2::generation;
  const auto pipeline =
      build_pipeline(config, {.vocab_size = kVocab, .num_valid_tokens = 37, .prompt_length = 3});
  LogitsScratch scratch(kVocab);
  std::vector<std::int32_t> ids = {1, 2, 3};
  const auto seed = static_cast<std::uint64_t>(config.seed.value_or(0));
  for (std::uint64_t position = 3; position < 12; ++position) {
    std::vector<float> scores(kVocab);
    for (std::size_t id = 0; id < scores.size(); ++id) {
      scores[id] = static_cast<float>(std::sin(static_cast<double>(id * position)));
    }
    pipeline.apply({.ids = ids}, scores, scratch);
    const std::int32_t token = config.do_sample.value_or(false)
                                   ? sample(scores, {.seed = seed, .position = position})
                                   : argmax(scores);
    if (token < 0 || token >= 37) std::abort();
    ids.push_back(token);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto config = m2::GenerationConfig::from_json(text);
    if (!(m2::GenerationConfig::from_json(config.to_json()) == config)) std::abort();
    m2::GenerationConfig call;
    call.update_from_json(text);
    generate_some(m2::resolve_generation_config(config, call, {.num_tokens = 3}).config);
  } catch (const m2::Error&) {
  }
  return 0;
}
