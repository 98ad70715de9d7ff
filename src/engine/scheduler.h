// Which sequences take part in the next step, and with how many tokens.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "engine/sequence.h"
#include "kv/prefix_cache.h"

namespace m2 {

struct ScheduledChunk {
  Sequence* sequence = nullptr;
  std::int64_t num_tokens = 0;
};

struct SchedulerOptions {
  std::int64_t max_batch_tokens = 0;
  std::int64_t max_seqs = 0;
};

/// First come, first served. A sequence is admitted when the blocks of the tokens that it has are
/// free, and takes further ones as it grows. When there are none, the youngest running sequence
/// gives its blocks back and waits, at the front, to be computed again: the oldest always goes on,
/// so that every request ends that fits into the cache alone.
///
/// A step holds one token of every decoding sequence first, then pieces of prompts (chunked
/// prefill) up to max_batch_tokens.
class Scheduler {
 public:
  /// The cache must live longer.
  Scheduler(const SchedulerOptions& options, PrefixCache& prefix_cache);

  void add(std::unique_ptr<Sequence> sequence);
  [[nodiscard]] bool empty() const { return waiting_.empty() && running_.empty(); }

  /// Null when there is no such sequence.
  [[nodiscard]] Sequence* find(RequestId id);
  /// Takes out every sequence for which `gone` holds, waiting or running.
  template <typename Predicate>
  std::vector<std::unique_ptr<Sequence>> take_if(const Predicate& gone);

  /// Finds room for the running sequences, admits what fits, then fills `chunks`.
  void schedule(std::vector<ScheduledChunk>& chunks);

  [[nodiscard]] std::int64_t num_preemptions() const { return num_preemptions_; }

 private:
  void grow_running();
  void preempt_youngest();
  void admit();
  [[nodiscard]] bool may_fit(const Sequence& sequence) const;

  SchedulerOptions options_;
  PrefixCache& prefix_cache_;
  // Both from the oldest to the youngest, and all that run are older than all that wait.
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::deque<std::unique_ptr<Sequence>> running_;
  // The request that found no room, and how many blocks were free then: looking again costs a
  // look-up for every block of its prompt.
  RequestId refused_ = 0;
  std::int64_t refused_at_ = 0;
  std::int64_t num_preemptions_ = 0;
};

template <typename Predicate>
std::vector<std::unique_ptr<Sequence>> Scheduler::take_if(const Predicate& gone) {
  std::vector<std::unique_ptr<Sequence>> taken;
  for (auto* queue : {&waiting_, &running_}) {
    for (auto it = queue->begin(); it != queue->end();) {
      if (gone(**it)) {
        taken.push_back(std::move(*it));
        it = queue->erase(it);
      } else {
        ++it;
      }
    }
  }
  return taken;
}

}  // namespace m2
