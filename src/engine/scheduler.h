// Which sequences take part in the next step, and with how many tokens.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "engine/sequence.h"

namespace m2 {

struct ScheduledChunk {
  Sequence* sequence = nullptr;
  std::int64_t num_tokens = 0;
};

/// First come, first served. A sequence is admitted when the blocks of its longest possible form
/// are free, so that it can always run to its end. A step holds one token of every decoding
/// sequence first, then pieces of prompts (chunked prefill) up to max_batch_tokens.
class Scheduler {
 public:
  Scheduler(std::int64_t max_batch_tokens, std::int64_t max_seqs);

  void add(std::unique_ptr<Sequence> sequence);
  [[nodiscard]] bool empty() const { return waiting_.empty() && running_.empty(); }

  /// Null when there is no such sequence.
  [[nodiscard]] Sequence* find(RequestId id);
  /// Takes out every sequence for which `gone` holds, waiting or running.
  template <typename Predicate>
  std::vector<std::unique_ptr<Sequence>> take_if(const Predicate& gone);

  /// Admits what fits, then fills `chunks`.
  void schedule(std::vector<ScheduledChunk>& chunks);

 private:
  void admit();

  std::int64_t max_batch_tokens_;
  std::int64_t max_seqs_;
  std::deque<std::unique_ptr<Sequence>> waiting_;
  std::deque<std::unique_ptr<Sequence>> running_;
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
