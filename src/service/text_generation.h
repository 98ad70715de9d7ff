// One prompt in, streamed text out.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "m2/generation_config.h"
#include "model/expert_cache.h"
#include "service/loaded_model.h"

namespace m2 {

struct GenerationTimings {
  std::int64_t prompt_tokens = 0;
  std::int64_t cached_prompt_tokens = 0;  // those that the last prompts left computed
  std::int64_t new_tokens = 0;
  double prompt_seconds = 0;                // to the first token
  double generation_seconds = 0;            // from the first token to the last
  std::optional<ExpertCacheStats> experts;  // of the model's life, where it has an expert cache

  /// Of those that were computed.
  [[nodiscard]] double prompt_tokens_per_second() const;
  [[nodiscard]] double new_tokens_per_second() const;
};

struct TextResult {
  std::vector<TokenId> ids;  // new tokens, the end-of-sequence token included
  std::string text;          // without the end-of-sequence token and the stop string
  FinishReason finish_reason = FinishReason::kStop;
  GenerationTimings timings;
  std::vector<std::string> warnings;
};

/// The largest resident size that this process had so far, mapped weights that were read included.
std::int64_t peak_memory_bytes();

/// Called with text as soon as it is certain; false ends the generation (kStop).
using OnText = std::function<bool(std::string_view text)>;

struct TextGeneratorOptions {
  std::int64_t context = 0;  // the most tokens, prompt included; 0: LoadedModel::default_context()
  std::string kv_cache_dtype = "auto";  // see kv_format_from_name(); auto: default_kv_format()
};

/// A single conversation's engine: prompts go in one at a time. What a prompt has in common with
/// earlier ones is not computed again while the context has room for both.
class TextGenerator {
 public:
  /// Throws kInvalidArgument for an unknown type, kUnsupported for one that a device does not read.
  TextGenerator(LoadedModel& loaded, const TextGeneratorOptions& options);

  [[nodiscard]] LoadedModel& loaded() { return loaded_; }
  [[nodiscard]] std::int64_t context() const { return context_; }
  [[nodiscard]] KvFormat kv_format() const { return kv_format_; }

  /// Generates until an end token, a stop string, the length limit, the end of the context, or
  /// until `stop` asks (kCancelled; what was generated is returned). Without max_new_tokens and
  /// max_length in `call` and in the model's files, the context is the limit.
  TextResult generate(const std::vector<TokenId>& prompt, const GenerationConfig& call,
                      const OnText& on_text, const std::stop_token& stop = {});

 private:
  LoadedModel& loaded_;
  KvFormat kv_format_;
  std::int64_t context_;
  Engine engine_;
};

}  // namespace m2
