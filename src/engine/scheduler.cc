#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace m2 {

Scheduler::Scheduler(const SchedulerOptions& options, PrefixCache& prefix_cache)
    : options_(options), prefix_cache_(prefix_cache) {
  M2_CHECK(options.max_seqs > 0 && options.max_batch_tokens >= options.max_seqs,
           "a step must have room for one token of every sequence");
}

void Scheduler::add(std::unique_ptr<Sequence> sequence) { waiting_.push_back(std::move(sequence)); }

Sequence* Scheduler::find(RequestId id) {
  for (auto* queue : {&waiting_, &running_}) {
    for (const auto& sequence : *queue) {
      if (sequence->id() == id) return sequence.get();
    }
  }
  return nullptr;
}

void Scheduler::grow_running() {
  for (std::size_t i = 0; i < running_.size(); ++i) {
    while (i < running_.size() && !running_[i]->reserve()) preempt_youngest();
  }
}

void Scheduler::preempt_youngest() {
  M2_CHECK(running_.size() > 1, "a sequence alone has outgrown the KV cache");
  running_.back()->release();
  waiting_.push_front(std::move(running_.back()));
  running_.pop_back();
  ++num_preemptions_;
}

// False when looking for room would end as it did the last time.
bool Scheduler::may_fit(const Sequence& sequence) const {
  return running_.empty() || refused_ != sequence.id() ||
         prefix_cache_.allocator().num_free() > refused_at_;
}

void Scheduler::admit() {
  while (!waiting_.empty() && std::cmp_less(running_.size(), options_.max_seqs)) {
    Sequence& next = *waiting_.front();
    // A block for each of the others: they would take those of the newcomer soon.
    const auto headroom = static_cast<std::int64_t>(running_.size());
    if (!may_fit(next)) return;
    if (!next.admit(headroom)) {
      refused_ = next.id();
      refused_at_ = prefix_cache_.allocator().num_free();
      return;
    }
    refused_ = 0;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void Scheduler::schedule(std::vector<ScheduledChunk>& chunks) {
  grow_running();
  admit();
  chunks.clear();
  std::int64_t budget = options_.max_batch_tokens;
  for (const auto& sequence : running_) {
    if (sequence->num_pending() != 1) continue;
    chunks.push_back({sequence.get(), 1});
    --budget;
  }
  for (const auto& sequence : running_) {
    if (sequence->num_pending() == 1 || budget == 0) continue;
    const std::int64_t count = std::min(sequence->num_pending(), budget);
    chunks.push_back({sequence.get(), count});
    budget -= count;
  }
}

}  // namespace m2
