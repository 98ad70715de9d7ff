// Experts of a model that is larger than memory: the hot ones stay, others come from the files.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/random_access_file.h"
#include "model/expert_layout.h"
#include "model/weights.h"

namespace m2 {

/// Counts experts, each once for a layer of a step.
struct ExpertCacheStats {
  std::int64_t hits = 0;        // were in memory
  std::int64_t look_ahead = 0;  // of the hits: brought by a guess and used for the first time
  std::int64_t late = 0;        // were being read, by a guess
  std::int64_t misses = 0;
  std::int64_t bytes_read = 0;
  std::int64_t capacity_bytes = 0;

  [[nodiscard]] std::int64_t total() const { return hits + late + misses; }
  [[nodiscard]] double hit_rate() const {
    return total() == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(total());
  }
};

/// Fixed slots of one expert each. Whole experts are read, by threads of its own; an expert leaves
/// by the clock rule with a small count of uses, so that what a long prompt touches once does not
/// push out what every token needs. Whatever is not in a slot stays readable through the mapped
/// file, so capacity decides about speed only.
///
/// Called by one thread; the views of a layer are valid until its next fetch.
class ExpertCache {
 public:
  /// Experts of `layers` that lie in files of `checkpoint`; those of layers with `covered` false
  /// (their weights are elsewhere) and those that were converted are left alone. Throws
  /// kInvalidArgument where capacity_bytes is less than one expert needs.
  ExpertCache(std::shared_ptr<const Checkpoint> checkpoint, std::span<const LayerWeights> layers,
              const std::vector<bool>& covered, std::int64_t capacity_bytes, int num_readers = 4);
  ~ExpertCache();
  ExpertCache(const ExpertCache&) = delete;
  ExpertCache& operator=(const ExpertCache&) = delete;

  /// All experts of a layer [E], of which those in `ids` (any number of times, ids < E) are in
  /// memory as far as the slots reach. Reading of `next_ids` of the next layer goes on afterwards.
  /// Throws what a read threw.
  std::span<const ExpertWeights> fetch(std::size_t layer, std::span<const std::int32_t> ids,
                                       std::span<const std::int32_t> next_ids);

  /// Whether a layer has experts that are cached.
  [[nodiscard]] bool covers(std::size_t layer) const { return covered_[layer]; }
  [[nodiscard]] ExpertCacheStats stats() const;

 private:
  enum class State : std::uint8_t { kAbsent, kLoading, kReady };
  struct Entry {
    ExpertLayout layout;  // without reads: not cached
    State state = State::kAbsent;
    std::int32_t slot = -1;
    std::int64_t counted = 0;  // the last fetch that saw it
    bool guessed = false;      // brought by a guess, not used yet
  };
  struct Slot {
    std::byte* memory = nullptr;
    std::int64_t entry = -1;
    std::int64_t pinned = 0;  // not to be taken in this fetch, nor before
    std::uint8_t uses = 0;
  };

  [[nodiscard]] std::int64_t index_of(std::size_t layer, std::int32_t expert) const {
    return static_cast<std::int64_t>(layer) * num_experts_ + expert;
  }
  void add_entries(std::span<const LayerWeights> layers, const std::vector<bool>& covered);
  void make_slots(std::int64_t capacity_bytes);
  void use(std::int64_t index);
  void guess(std::int64_t index);
  bool start(std::int64_t index, std::int64_t pinned, bool guessed);
  std::int32_t take_slot();
  void release(Slot& slot);
  void read_loop();
  void read(const Entry& entry, std::byte* memory) const;

  std::shared_ptr<const Checkpoint> checkpoint_;
  std::int64_t num_experts_ = 0;
  std::vector<bool> covered_;                       // [L]
  std::vector<RandomAccessFile> files_;             // of the checkpoint
  std::vector<std::vector<ExpertWeights>> mapped_;  // [L][E]
  std::vector<std::vector<ExpertWeights>> views_;   // [L][E]: a slot's memory where there is one
  std::vector<Entry> entries_;                      // [L * E]
  Tensor memory_;
  std::vector<Slot> slots_;
  std::size_t hand_ = 0;  // of the clock
  std::int64_t fetches_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::deque<std::int64_t> queue_;  // entries to read; guesses at the end
  std::exception_ptr error_;
  ExpertCacheStats stats_;
  bool stopping_ = false;
  std::vector<std::jthread> readers_;
};

}  // namespace m2
