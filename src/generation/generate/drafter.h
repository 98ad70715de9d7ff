// Where the drafts of assisted generation come from.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "generation/generate/search.h"
#include "generation/prompt_lookup.h"

namespace m2::generation {

struct Draft {
  Ids tokens;                 // d
  std::vector<float> scores;  // [d, V] that they were drawn from; empty when there are none
};

class Drafter {
 public:
  virtual ~Drafter() = default;
  /// Tokens that may follow `ids`; none is a legal answer.
  virtual Draft propose(const Ids& ids) = 0;
  /// What became of the last draft: `ids` are now the text.
  virtual void learn(const Ids& ids, std::int64_t num_drafted, std::int64_t num_matches) = 0;
};

/// The text itself. The sampling filters have no say: on equal scores they would forbid arbitrary
/// tokens.
class PromptLookupDrafter final : public Drafter {
 public:
  explicit PromptLookupDrafter(Search& search);
  Draft propose(const Ids& ids) override;
  void learn(const Ids&, std::int64_t, std::int64_t) override {}

 private:
  Search& search_;
  PromptLookup lookup_;
  LogitsPipeline pipeline_;
  std::vector<float> scores_;  // [V]
};

/// A smaller model with a cache of its own. The draft length, its schedule and the confidence that
/// it needs come from that model's generation config.
class AssistantDrafter final : public Drafter {
 public:
  AssistantDrafter(const GeneratingModel& assistant, PromptColumns columns, Search& search);
  Draft propose(const Ids& ids) override;
  void learn(const Ids& ids, std::int64_t num_drafted, std::int64_t num_matches) override;

 private:
  [[nodiscard]] bool is_last(std::span<const float> scores, std::int32_t token) const;

  const GeneratingModel& assistant_;
  Search& search_;
  ModelRun run_;
  LogitsPipeline pipeline_;
  std::string schedule_;
  std::int64_t num_tokens_;
  double threshold_;
};

/// Greedy decoding or sampling in which the model verifies drafts.
void run_assisted(Search& search, Drafter& drafter);

}  // namespace m2::generation
