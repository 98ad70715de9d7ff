#include "generation/gguf_generation.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "base/error.h"

namespace m2::generation {
namespace {

constexpr std::string_view kTopK = "general.sampling.top_k";
constexpr std::string_view kTopP = "general.sampling.top_p";
constexpr std::string_view kTemperature = "general.sampling.temp";

std::optional<std::int32_t> token(const GgufMetadata& metadata, std::string_view key) {
  const auto id = metadata.integer(key);
  if (!id.has_value()) return std::nullopt;
  M2_REQUIRE(ErrorCode::kCorruptFile, *id >= 0 && *id <= std::numeric_limits<std::int32_t>::max(),
             metadata.file(), ": ", key, ": expected a token id, got ", *id);
  return static_cast<std::int32_t>(*id);
}

}  // namespace

GenerationConfig read_gguf_generation(const GgufMetadata& metadata) {
  GenerationConfig config;
  config.bos_token_id = token(metadata, "tokenizer.ggml.bos_token_id");
  config.pad_token_id = token(metadata, "tokenizer.ggml.padding_token_id");
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    const auto id = token(metadata, key);
    if (!id.has_value()) continue;
    if (!config.eos_token_id.has_value()) config.eos_token_id.emplace();
    if (std::ranges::find(*config.eos_token_id, *id) != config.eos_token_id->end()) continue;
    config.eos_token_id->push_back(*id);
  }
  config.top_k = metadata.integer(kTopK);
  config.top_p = metadata.number(kTopP);
  config.temperature = metadata.number(kTemperature);
  if (config.top_k || config.top_p || config.temperature) config.do_sample = true;
  config.validate();
  return config;
}

void write_gguf_generation(const GenerationConfig& config, GgufWriter& writer) {
  if (!config.do_sample.value_or(false)) return;
  if (config.top_k) writer.set_int32(kTopK, static_cast<std::int32_t>(*config.top_k));
  if (config.top_p) writer.set_float32(kTopP, static_cast<float>(*config.top_p));
  if (config.temperature) writer.set_float32(kTemperature, static_cast<float>(*config.temperature));
}

}  // namespace m2::generation
