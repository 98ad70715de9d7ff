// Working memory of the logits processors, so that a decoding step allocates nothing.
#pragma once

#include "base/error.h"

#include <cstdint>
#include <span>
#include <vector>

namespace m2::generation {

/// One for each thread that runs pipelines; every use overwrites what the last one left.
class LogitsScratch {
 public:
  explicit LogitsScratch(std::int64_t vocab_size)
      : keys_(static_cast<std::size_t>(vocab_size)), values_(keys_.size()), marks_(keys_.size()) {}

  /// V: the longest row of scores that this memory serves.
  [[nodiscard]] std::int64_t vocab_size() const { return static_cast<std::int64_t>(marks_.size()); }

  /// Forgets all marks.
  void clear_marks() {
    if (++generation_ == 0) {
      marks_.assign(marks_.size(), 0);
      generation_ = 1;
    }
  }
  /// Marks an id in [0, V); true if it was not marked since clear_marks().
  bool mark(std::size_t id) {
    M2_DCHECK(id < marks_.size());
    const bool is_new = marks_[id] != generation_;
    marks_[id] = generation_;
    return is_new;
  }
  [[nodiscard]] bool is_marked(std::size_t id) const { return marks_[id] == generation_; }

  [[nodiscard]] std::span<std::uint64_t> keys() { return keys_; }
  [[nodiscard]] std::span<float> values() { return values_; }

 private:
  std::vector<std::uint64_t> keys_;   // [V] rank and id of candidates, packed for sorting
  std::vector<float> values_;         // [V] scores
  std::vector<std::uint32_t> marks_;  // [V] the generation in which an id was marked
  std::uint32_t generation_ = 0;
};

}  // namespace m2::generation
