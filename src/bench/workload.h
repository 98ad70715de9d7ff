// Sequences of equal length with a cache of their own, stepped through the model again and again.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "bench/expert_counter.h"
#include "bench/step_cost.h"
#include "model/minimax_m2.h"

namespace m2::bench {

/// One point of a sweep.
struct BenchTest {
  enum class Kind { kPrefill, kDecode };
  Kind kind = Kind::kDecode;
  std::int64_t num_tokens = 1;  // new ones of each sequence
  std::int64_t num_seqs = 1;
  std::int64_t context = 0;  // tokens in the cache before them
};

struct WorkloadOptions {
  KvFormat kv_format = KvFormat::kBF16;
  std::int64_t chunk = 512;  // tokens of a step of prefill
  std::uint64_t seed = 1;
};

/// The token ids are random and the context is a cache full of random keys and values: nothing of
/// it was computed, and reading it takes as long as if it had been. Every run repeats the same
/// steps, so that what one counts holds for the others.
class Workload {
 public:
  /// Throws kInvalidArgument for more tokens than the model has positions.
  Workload(MiniMaxM2& model, const BenchTest& test, const WorkloadOptions& options);

  /// All new tokens once: a pass for each step, logits where a user would have them.
  void run();
  /// The same, counting the experts of each step.
  [[nodiscard]] std::vector<Step> count(ExpertCounter& counter);

  [[nodiscard]] std::int64_t num_steps() const;

 private:
  void fill_cache();
  Step prepare(std::int64_t index);
  void each_step(const ForwardOptions& options, const std::function<void(const Step&)>& after);

  MiniMaxM2& model_;
  BenchTest test_;
  WorkloadOptions options_;
  KvCache cache_;
  std::vector<SequenceBlocks> blocks_;   // [S]
  std::vector<std::int32_t> ids_;        // [S, new tokens]
  std::vector<std::int64_t> positions_;  // [new tokens]
  std::vector<std::int32_t> logit_rows_;
  Batch batch_;
};

}  // namespace m2::bench
