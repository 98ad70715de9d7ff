#include "engine/engine.h"

#include <utility>

#include "base/error.h"

namespace m2 {

Engine::Engine(MiniMaxM2& model, const EngineOptions& options)
    : model_(model),
      options_(options),
      kv_cache_(model.placement(), model.config(), options.kv_cache),
      prefix_cache_(kv_cache_.allocator(), kv_cache_.block_size()),
      scheduler_({.max_batch_tokens = options.max_batch_tokens, .max_seqs = options.max_seqs},
                 prefix_cache_),
      scratch_(model.config().vocab_size) {
  const std::int64_t num_blocks = kv_cache_.num_tokens() / kv_cache_.block_size();
  batch_.plan(options.max_batch_tokens, options.max_seqs, num_blocks);
}

RequestId Engine::submit(EngineRequest request) {
  for (std::size_t i = 0; i < request.prompt_ids.size(); ++i) {
    const std::int32_t token = request.prompt_ids[i];
    M2_REQUIRE(ErrorCode::kInvalidArgument, token >= 0 && token < model_.config().vocab_size,
               "prompt[", i, "]: expected a token id below ", model_.config().vocab_size, ", got ",
               token);
  }
  const SequenceOptions options = {
      .pipeline = {.vocab_size = model_.config().vocab_size,
                   .num_valid_tokens = options_.num_valid_tokens,
                   .prompt_length = static_cast<std::int64_t>(request.prompt_ids.size())},
      .shares_prefixes = !model_.rope().depends_on_length()};
  auto sequence = std::make_unique<Sequence>(next_id_, std::move(request), prefix_cache_, options);
  M2_REQUIRE(ErrorCode::kResourceExhausted, sequence->max_cached_tokens() <= kv_cache_.num_tokens(),
             "prompt and new tokens need ", sequence->max_cached_tokens(),
             " tokens of context, the KV cache has room for ", kv_cache_.num_tokens());
  scheduler_.add(std::move(sequence));
  return next_id_++;
}

void Engine::cancel(RequestId id) {
  if (Sequence* sequence = scheduler_.find(id)) sequence->cancel();
}

EngineStatistics Engine::statistics() const {
  EngineStatistics statistics = statistics_;
  statistics.num_preemptions = scheduler_.num_preemptions();
  return statistics;
}

std::span<const TokenEvent> Engine::step() {
  events_.clear();
  drop_cancelled();
  scheduler_.schedule(chunks_);
  if (chunks_.empty()) return events_;
  form_batch();
  const TopLogits top = model_.step(batch_, kv_cache_, logit_rows_);
  for (const auto& [sequence, num_tokens] : chunks_) sequence->mark_cached(num_tokens);
  choose_tokens(top);
  return events_;
}

void Engine::drop_cancelled() {
  for (const auto& sequence : scheduler_.take_if([](const Sequence& s) { return s.cancelled(); })) {
    events_.push_back({.request = sequence->id(), .finish_reason = FinishReason::kCancelled});
  }
}

void Engine::form_batch() {
  batch_.clear();
  logit_rows_.clear();
  choosing_.clear();
  for (const auto& [sequence, num_tokens] : chunks_) {
    batch_.add(sequence->next_entry(num_tokens));
    if (num_tokens == sequence->num_pending()) {
      logit_rows_.push_back(batch_.cu_seqlens.back() - 1);
      choosing_.push_back(sequence);
    }
  }
  batch_.finish();
}

void Engine::choose_tokens(const TopLogits& top) {
  for (std::size_t row = 0; row < choosing_.size(); ++row) {
    Sequence& sequence = *choosing_[row];
    if (sequence.num_new_tokens() == 0) count(sequence);
    events_.push_back(choose_token(sequence, top, row));
    if (events_.back().finish_reason) {
      (void)scheduler_.take_if([&](const Sequence& s) { return &s == &sequence; });
    }
  }
}

// Whole rows, of 200,000 logits, leave the device only where a request needs more than the best.
TokenEvent Engine::choose_token(Sequence& sequence, const TopLogits& top, std::size_t row) {
  TokenEvent event = {.request = sequence.id(), .num_prefix_tokens = sequence.num_prefix_tokens()};
  try {
    best_.assign(top.ids_of(row), top.logits_of(row));
    event.token = sequence.choose_best_token(best_, scratch_);
    if (!event.token) {
      const TensorView logits = model_.logits_row(static_cast<std::int64_t>(row));
      const auto size = static_cast<std::size_t>(logits.num_elements());
      event.token = sequence.choose_token({logits.as<float>(), size}, scratch_);
    }
    event.finish_reason = sequence.finished();
  } catch (const Error& error) {
    event.finish_reason = FinishReason::kError;
    event.error = error.what();
  }
  return event;
}

void Engine::count(const Sequence& sequence) {
  statistics_.num_prompt_tokens += sequence.num_tokens();
  statistics_.num_prefix_tokens += sequence.num_prefix_tokens();
  statistics_.num_prefix_hits += sequence.num_prefix_tokens() > 0 ? 1 : 0;
}

}  // namespace m2
