#include "model/expert_cache.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

constexpr std::uint8_t kMostUses = 3;

}  // namespace

ExpertCache::ExpertCache(std::shared_ptr<const Checkpoint> checkpoint,
                         std::span<const LayerWeights> layers, const std::vector<bool>& covered,
                         std::int64_t capacity_bytes, int num_readers)
    : checkpoint_(std::move(checkpoint)) {
  add_entries(layers, covered);
  make_slots(capacity_bytes);
  for (std::size_t i = 0; i < checkpoint_->num_files(); ++i) {
    files_.emplace_back(checkpoint_->file_path(i));
  }
  for (int i = 0; i < num_readers; ++i) readers_.emplace_back([this] { read_loop(); });
}

ExpertCache::~ExpertCache() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
}

void ExpertCache::add_entries(std::span<const LayerWeights> layers,
                              const std::vector<bool>& covered) {
  M2_CHECK(layers.size() == covered.size(), "coverage of ", covered.size(), " layers for ",
           layers.size());
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    const auto& experts = layers[layer].experts;
    num_experts_ = std::ssize(experts);
    mapped_.push_back(experts);
    covered_.push_back(false);
    for (const ExpertWeights& expert : experts) {
      Entry& entry = entries_.emplace_back();
      if (!covered[layer]) continue;
      auto layout = expert_layout(expert, *checkpoint_);
      if (!layout) continue;
      entry.layout = std::move(*layout);
      covered_.back() = true;
    }
  }
  views_ = mapped_;
}

void ExpertCache::make_slots(std::int64_t capacity_bytes) {
  std::size_t slot_bytes = 0;
  std::int64_t wanted = 0;
  for (const Entry& entry : entries_) {
    slot_bytes = std::max(slot_bytes, entry.layout.bytes);
    if (!entry.layout.reads.empty()) ++wanted;
  }
  if (wanted == 0) return;
  const auto bytes = static_cast<std::int64_t>(slot_bytes);
  M2_REQUIRE(ErrorCode::kInvalidArgument, capacity_bytes >= bytes,
             "expert cache: expected at least the ", bytes, " bytes of an expert, got ",
             capacity_bytes);
  const std::int64_t count = std::min(wanted, capacity_bytes / bytes);
  constexpr std::int64_t kAlignment = RandomAccessFile::kAlignment;
  memory_ = Tensor(DType::kU8, {count * bytes + kAlignment});
  auto* memory = static_cast<std::byte*>(memory_.view().data);
  memory += (kAlignment - reinterpret_cast<std::uintptr_t>(memory) % kAlignment) % kAlignment;
  for (std::int64_t i = 0; i < count; ++i) slots_.push_back({.memory = memory + i * bytes});
  stats_.capacity_bytes = count * bytes;
}

std::span<const ExpertWeights> ExpertCache::fetch(std::size_t layer,
                                                  std::span<const std::int32_t> ids,
                                                  std::span<const std::int32_t> next_ids) {
  std::unique_lock lock(mutex_);
  ++fetches_;
  for (const std::int32_t id : ids) use(index_of(layer, id));
  for (const std::int32_t id : next_ids) guess(index_of(layer + 1, id));
  work_.notify_all();
  done_.wait(lock, [&] {
    return error_ != nullptr || std::ranges::none_of(ids, [&](std::int32_t id) {
             return entries_[static_cast<std::size_t>(index_of(layer, id))].state ==
                    State::kLoading;
           });
  });
  if (error_ != nullptr) std::rethrow_exception(error_);
  return views_[layer];
}

void ExpertCache::use(std::int64_t index) {
  Entry& entry = entries_[static_cast<std::size_t>(index)];
  if (entry.layout.reads.empty() || entry.counted == fetches_) return;
  entry.counted = fetches_;
  if (entry.state == State::kAbsent) {
    ++stats_.misses;
    start(index, fetches_, /*guessed=*/false);
    return;
  }
  if (entry.state == State::kLoading) {
    ++stats_.late;
    // What is needed now goes before the other guesses.
    const auto queued = std::ranges::find(queue_, index);
    if (queued != queue_.end()) {
      queue_.erase(queued);
      queue_.push_front(index);
    }
  } else {
    ++stats_.hits;
    if (entry.guessed) ++stats_.look_ahead;
  }
  entry.guessed = false;
  Slot& slot = slots_[static_cast<std::size_t>(entry.slot)];
  slot.pinned = fetches_;
  slot.uses = std::min<std::uint8_t>(kMostUses, slot.uses + 1);
}

void ExpertCache::guess(std::int64_t index) {
  if (index >= std::ssize(entries_)) return;
  Entry& entry = entries_[static_cast<std::size_t>(index)];
  if (entry.layout.reads.empty()) return;
  if (entry.state == State::kAbsent) {
    start(index, fetches_ + 1, /*guessed=*/true);
  } else {
    slots_[static_cast<std::size_t>(entry.slot)].pinned = fetches_ + 1;
  }
}

// Queues the reading of an expert; false when no slot may be taken.
bool ExpertCache::start(std::int64_t index, std::int64_t pinned, bool guessed) {
  const std::int32_t chosen = take_slot();
  if (chosen < 0) return false;
  Slot& slot = slots_[static_cast<std::size_t>(chosen)];
  release(slot);
  Entry& entry = entries_[static_cast<std::size_t>(index)];
  slot.entry = index;
  slot.pinned = pinned;
  slot.uses = 0;  // the first use does not make it hot
  entry.slot = chosen;
  entry.state = State::kLoading;
  entry.guessed = guessed;
  const auto layer = static_cast<std::size_t>(index / num_experts_);
  const auto expert = static_cast<std::size_t>(index % num_experts_);
  views_[layer][expert] = entry.layout.views(mapped_[layer][expert], slot.memory);
  if (guessed) {
    queue_.push_back(index);
  } else {
    queue_.push_front(index);
  }
  return true;
}

// The clock: a slot that was used since the hand last came by gets another round for every use.
std::int32_t ExpertCache::take_slot() {
  for (std::size_t step = 0; step < (kMostUses + 1U) * slots_.size(); ++step) {
    const std::size_t at = hand_;
    hand_ = (hand_ + 1) % slots_.size();
    Slot& slot = slots_[at];
    if (slot.entry < 0) return static_cast<std::int32_t>(at);
    const bool loading = entries_[static_cast<std::size_t>(slot.entry)].state == State::kLoading;
    if (loading || slot.pinned >= fetches_) continue;
    if (slot.uses == 0) return static_cast<std::int32_t>(at);
    --slot.uses;
  }
  return -1;
}

void ExpertCache::release(Slot& slot) {
  if (slot.entry < 0) return;
  Entry& entry = entries_[static_cast<std::size_t>(slot.entry)];
  const auto layer = static_cast<std::size_t>(slot.entry / num_experts_);
  const auto expert = static_cast<std::size_t>(slot.entry % num_experts_);
  views_[layer][expert] = mapped_[layer][expert];
  entry.state = State::kAbsent;
  entry.slot = -1;
  slot.entry = -1;
}

void ExpertCache::read_loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    Entry& entry = entries_[static_cast<std::size_t>(queue_.front())];
    queue_.pop_front();
    std::byte* memory = slots_[static_cast<std::size_t>(entry.slot)].memory;
    lock.unlock();
    std::exception_ptr error;
    try {
      read(entry, memory);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error != nullptr) error_ = error;
    entry.state = State::kReady;
    for (const ExpertRead& part : entry.layout.reads) {
      stats_.bytes_read += static_cast<std::int64_t>(part.bytes);
    }
    done_.notify_all();
  }
}

void ExpertCache::read(const Entry& entry, std::byte* memory) const {
  for (const ExpertRead& part : entry.layout.reads) {
    files_[part.file].read(part.offset, {memory + part.in_memory, part.bytes}, part.needed);
  }
}

ExpertCacheStats ExpertCache::stats() const {
  const std::scoped_lock lock(mutex_);
  return stats_;
}

}  // namespace m2
