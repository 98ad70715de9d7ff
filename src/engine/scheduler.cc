#include "engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace m2 {

Scheduler::Scheduler(std::int64_t max_batch_tokens, std::int64_t max_seqs)
    : max_batch_tokens_(max_batch_tokens), max_seqs_(max_seqs) {
  M2_CHECK(max_seqs > 0 && max_batch_tokens >= max_seqs,
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

void Scheduler::admit() {
  while (!waiting_.empty() && std::cmp_less(running_.size(), max_seqs_) &&
         waiting_.front()->reserve()) {
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
}

void Scheduler::schedule(std::vector<ScheduledChunk>& chunks) {
  admit();
  chunks.clear();
  std::int64_t budget = max_batch_tokens_;
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
