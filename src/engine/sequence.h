// One request while the engine works on it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/request.h"
#include "generation/logits_pipeline.h"
#include "generation/stopping.h"
#include "kv/prefix_cache.h"
#include "kv/sequence_blocks.h"
#include "model/batch.h"

namespace m2 {

struct SequenceOptions {
  generation::PipelineOptions pipeline;
  /// Whether blocks of other sequences hold what this one would compute for the same tokens.
  bool shares_prefixes = true;
};

/// Tokens, their positions and mask, the blocks they occupy, and how the next one is chosen.
class Sequence {
 public:
  /// The cache must live longer.
  Sequence(RequestId id, EngineRequest request, PrefixCache& prefix_cache,
           const SequenceOptions& options);

  [[nodiscard]] RequestId id() const { return id_; }
  [[nodiscard]] std::int64_t num_tokens() const { return static_cast<std::int64_t>(ids_.size()); }
  [[nodiscard]] std::int64_t num_new_tokens() const { return num_tokens() - prompt_length(); }
  /// Tokens that are not in the cache yet: 1 while decoding, more in prefill.
  [[nodiscard]] std::int64_t num_pending() const { return num_tokens() - num_cached_; }
  /// The most tokens that the cache will ever hold of this sequence (the last is never fed).
  [[nodiscard]] std::int64_t max_cached_tokens() const;

  /// Takes the known blocks of its beginning and blocks for all other tokens that it has. False,
  /// and nothing taken, unless `headroom` more blocks are free.
  [[nodiscard]] bool admit(std::int64_t headroom);
  /// Takes blocks for all tokens that it has. False when there are not enough.
  [[nodiscard]] bool reserve() { return blocks_.reserve(num_tokens()); }
  /// Gives all blocks back; what they held is found again or computed again after admit().
  void release();
  /// Tokens of the prompt that the first admit() found.
  [[nodiscard]] std::int64_t num_prefix_tokens() const { return num_prefix_tokens_.value_or(0); }

  /// The next `count` pending tokens as a part of a batch; valid until the sequence changes.
  [[nodiscard]] BatchEntry next_entry(std::int64_t count) const;
  /// They are computed: others may use the blocks that are full.
  void mark_cached(std::int64_t count);

  /// Chooses the next token from the best raw logits of a row and appends it. Nothing where they do
  /// not settle it: then choose_token must see the whole row.
  std::optional<std::int32_t> choose_best_token(generation::BestScores& best,
                                                generation::LogitsScratch& scratch);
  /// Likewise from raw logits [V], which it overwrites.
  std::int32_t choose_token(std::span<float> logits, generation::LogitsScratch& scratch);
  [[nodiscard]] std::optional<FinishReason> finished() const;

  void cancel() { cancelled_ = true; }
  [[nodiscard]] bool cancelled() const { return cancelled_; }

 private:
  [[nodiscard]] std::int64_t prompt_length() const {
    return static_cast<std::int64_t>(request_.prompt_ids.size());
  }
  void plan_memory();
  [[nodiscard]] std::int32_t draw(std::span<const float> scores) const;
  void append(std::int32_t token);

  RequestId id_;
  EngineRequest request_;
  std::vector<std::int32_t> ids_;
  std::vector<std::int64_t> positions_;  // as many as ids_
  std::vector<std::uint8_t> mask_;       // as many as ids_, or empty
  std::int64_t num_cached_ = 0;
  PrefixCache& prefix_cache_;
  SequenceBlocks blocks_;
  bool shares_prefix_;  // masks and odd positions change what a block holds
  PrefixCursor published_;
  std::optional<std::int64_t> num_prefix_tokens_;
  generation::LogitsPipeline pipeline_;
  generation::StoppingCriteria stopping_;
  bool cancelled_ = false;
};

}  // namespace m2
