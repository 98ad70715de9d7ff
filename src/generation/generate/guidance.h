// The unconditional stream of classifier-free guidance.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "generation/generate/model_run.h"

namespace m2::generation {

/// The negative prompts, continued by what the main rows generate, with a cache of their own.
class Guidance {
 public:
  /// `negative`: B rows that the main rows' new tokens are appended to; `prompt_length`: P of the
  /// main rows.
  Guidance(const GeneratingModel& model, std::vector<Ids> negative, PromptColumns columns,
           std::int64_t prompt_length, std::int64_t copies, bool use_cache);

  /// Logits [R, num_logits, V] for the last positions of the main rows [R].
  Tensor advance(std::span<const Ids> rows, std::int64_t num_logits);
  /// As ModelRun's, in lengths of the main rows.
  void reorder(std::span<const std::int64_t> parents) { run_.reorder(parents); }
  void crop(std::int64_t num_tokens);

 private:
  std::vector<Ids> negative_;  // B
  std::vector<Ids> rows_;      // R
  std::int64_t prompt_length_;
  std::int64_t copies_;
  ModelRun run_;
};

}  // namespace m2::generation
