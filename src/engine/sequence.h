// One request while the engine works on it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "engine/request.h"
#include "generation/logits_pipeline.h"
#include "generation/stopping.h"
#include "kv/sequence_blocks.h"
#include "model/batch.h"

namespace m2 {

/// Tokens, their positions and mask, the blocks they occupy, and how the next one is chosen.
class Sequence {
 public:
  Sequence(RequestId id, EngineRequest request, BlockAllocator& allocator, std::int32_t block_size,
           const generation::PipelineOptions& pipeline_options);

  [[nodiscard]] RequestId id() const { return id_; }
  [[nodiscard]] std::int64_t num_tokens() const { return static_cast<std::int64_t>(ids_.size()); }
  /// Tokens that are not in the cache yet: 1 while decoding, more in prefill.
  [[nodiscard]] std::int64_t num_pending() const { return num_tokens() - num_cached_; }
  /// The most tokens that the cache will ever hold of this sequence (the last is never fed).
  [[nodiscard]] std::int64_t max_cached_tokens() const;

  /// Takes blocks for max_cached_tokens(). False when there are not enough.
  [[nodiscard]] bool reserve() { return blocks_.reserve(max_cached_tokens()); }

  /// The next `count` pending tokens as a part of a batch; valid until the sequence changes.
  [[nodiscard]] BatchEntry next_entry(std::int64_t count) const;
  void mark_cached(std::int64_t count) { num_cached_ += count; }

  /// Chooses the next token from raw logits [V], which it overwrites, appends it, and says whether
  /// it ends the sequence.
  std::int32_t choose_token(std::span<float> logits, generation::LogitsScratch& scratch);
  [[nodiscard]] std::optional<FinishReason> finished() const;

  void cancel() { cancelled_ = true; }
  [[nodiscard]] bool cancelled() const { return cancelled_; }

 private:
  void append(std::int32_t token);

  RequestId id_;
  EngineRequest request_;
  std::vector<std::int32_t> ids_;
  std::vector<std::int64_t> positions_;  // as many as ids_
  std::vector<std::uint8_t> mask_;       // as many as ids_, or empty
  std::int64_t num_cached_ = 0;
  SequenceBlocks blocks_;
  generation::LogitsPipeline pipeline_;
  generation::StoppingCriteria stopping_;
  bool cancelled_ = false;
};

}  // namespace m2
