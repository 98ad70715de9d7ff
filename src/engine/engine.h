// Continuous batching over one model: tokens in, tokens out.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"
#include "engine/scheduler.h"
#include "kv/prefix_cache.h"
#include "model/kv_cache.h"
#include "model/minimax_m2.h"

namespace m2 {

struct EngineOptions {
  std::int64_t max_batch_tokens = 512;  // of a step; longer prompts are prefilled in pieces
  std::int64_t max_seqs = 64;           // sequences that run at the same time
  KvCacheOptions kv_cache;              // num_tokens bounds all running sequences together
  std::int64_t num_valid_tokens = 0;    // ids from here on have no token and are never chosen
};

/// Counts since the engine was made.
struct EngineStatistics {
  std::int64_t num_prompt_tokens = 0;  // of requests that got their first token
  std::int64_t num_prefix_tokens = 0;  // those of them that were found computed
  std::int64_t num_prefix_hits = 0;    // requests that found some
  std::int64_t num_preemptions = 0;
};

/// Knows no text, files or threads; whoever owns it calls step() until idle().
class Engine {
 public:
  /// The model must live longer than the engine.
  Engine(MiniMaxM2& model, const EngineOptions& options);

  /// Queues a request. Throws kInvalidArgument for one that cannot be done, and
  /// kResourceExhausted for one that is longer than the whole cache.
  RequestId submit(EngineRequest request);

  /// Ends a request at the next step, which reports kCancelled; unknown ids are ignored.
  void cancel(RequestId id);

  [[nodiscard]] bool idle() const { return scheduler_.empty(); }
  [[nodiscard]] EngineStatistics statistics() const;

  /// One forward pass over what is due. A request whose token cannot be chosen (a filter that
  /// allows none) ends alone, with kError. The events are valid until the next call.
  std::span<const TokenEvent> step();

 private:
  void drop_cancelled();
  void form_batch();
  void choose_tokens(const TopLogits& top);
  TokenEvent choose_token(Sequence& sequence, const TopLogits& top, std::size_t row);
  void count(const Sequence& sequence);

  MiniMaxM2& model_;
  EngineOptions options_;
  KvCache kv_cache_;
  PrefixCache prefix_cache_;
  Scheduler scheduler_;
  EngineStatistics statistics_;
  RequestId next_id_ = 1;
  // Reused from step to step.
  Batch batch_;
  std::vector<ScheduledChunk> chunks_;
  std::vector<std::int32_t> logit_rows_;
  std::vector<Sequence*> choosing_;
  std::vector<TokenEvent> events_;
  generation::BestScores best_;
  generation::LogitsScratch scratch_;
};

}  // namespace m2
