#include "cuda/weight_store.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace m2::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kSmallestSlab = std::size_t{4} << 20U;
constexpr std::size_t kLargestSlab = std::size_t{1} << 30U;
constexpr int kMostThreads = 12;
constexpr std::size_t kMostQueued = 256;

std::size_t aligned(std::size_t num_bytes) {
  return (num_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::uintptr_t address(const void* data) { return reinterpret_cast<std::uintptr_t>(data); }

// A thread's way to the device.
class Lane {
 public:
  void bring(const std::vector<WeightStore::Piece>& pieces) {
    Buffer& buffer = buffers_[current_];
    current_ = (current_ + 1) % buffers_.size();
    if (buffer.memory == nullptr) buffer.memory = allocate_pinned(WeightStore::kPieceBytes);
    buffer.copied.wait();  // at once for an event that was never recorded
    const auto from = static_cast<std::byte*>(buffer.memory.get());
    const std::uintptr_t first = address(pieces.front().device);
    for (const auto& piece : pieces) piece.read(from + (address(piece.device) - first));
    void* to = pieces.front().device;
    if (to == nullptr) to = scratch_.get<std::byte>(WeightStore::kPieceBytes);
    const std::size_t num_bytes = address(pieces.back().device) + pieces.back().num_bytes - first;
    require(cudaMemcpyAsync(to, from, num_bytes, cudaMemcpyHostToDevice, context_.stream.get()),
            "copy weights to the device");
    buffer.copied.record(context_.stream);
    if (pieces.front().use) pieces.front().use(to, context_);
  }
  void finish() { require(cudaStreamSynchronize(context_.stream.get()), "bring weights"); }

 private:
  struct Buffer {
    PinnedMemory memory;
    Event copied;
  };

  Context context_;
  std::array<Buffer, 2> buffers_;
  std::size_t current_ = 0;  // of them
  Workspace scratch_;        // used in the order of the stream
};

}  // namespace

// Slabs double in size, so that a small model does not take a large one. Their ends stay free, so
// that nothing of one slab follows another's last weight.
WeightStore::Placed WeightStore::reserve(std::size_t num_bytes) {
  const std::size_t size = aligned(num_bytes);
  if (slab_used_ + size + kAlignment > slab_size_) {
    const std::size_t next = std::clamp(2 * slab_size_, kSmallestSlab, kLargestSlab);
    slab_size_ = slab_used_ = 0;
    const std::size_t slab_size = std::max(next, size + kAlignment);
    slab_ = std::shared_ptr<void>(allocate_device(slab_size).release(), DeviceFree());
    slab_size_ = slab_size;
  }
  const Placed placed = {static_cast<std::byte*>(slab_.get()) + slab_used_, slab_};
  slab_used_ += size;
  return placed;
}

void WeightStore::copy(const void* host, void* device, std::size_t num_bytes) {
  const auto* from = static_cast<const std::byte*>(host);
  auto* to = static_cast<std::byte*>(device);
  for (std::size_t first = 0; first < num_bytes;) {
    const std::size_t room = room_at(to + first);
    const std::size_t count = std::min(room > 0 ? room : kPieceBytes, num_bytes - first);
    add({.num_bytes = count,
         .read = [source = from + first,
                  count](std::byte* pinned) { std::memcpy(pinned, source, count); },
         .device = to + first,
         .use = {}});
    first += count;
  }
}

// How much may join the next load from there on: nothing where it would not follow.
std::size_t WeightStore::room_at(const void* device) const {
  if (next_.empty() || next_.back().use || device == nullptr) return 0;
  const std::uintptr_t end = address(next_.back().device) + next_.back().num_bytes;
  const std::uintptr_t most = address(next_.front().device) + kPieceBytes;
  const std::uintptr_t begin = address(device);
  return begin >= end && begin - end < kAlignment && begin < most ? most - begin : 0;
}

void WeightStore::add(Piece piece) {
  M2_CHECK(piece.num_bytes <= kPieceBytes, "weights: a piece of ", piece.num_bytes, " bytes");
  const bool joins = !piece.use && piece.num_bytes <= room_at(piece.device);
  if (!joins && !send()) finish();  // throws
  next_.push_back(std::move(piece));
}

// Queues the next load; false after an error, which finish() throws.
bool WeightStore::send() {
  if (next_.empty()) return true;
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const auto most_threads = static_cast<std::size_t>(std::clamp(cores, 1, kMostThreads));
  std::unique_lock lock(mutex_);
  if (threads_.size() < most_threads) threads_.emplace_back([this] { bring(); });
  done_.wait(lock, [&] { return error_ != nullptr || queue_.size() < kMostQueued; });
  Load load = std::exchange(next_, {});
  if (error_ != nullptr) return false;
  queue_.push_back(std::move(load));
  work_.notify_one();
  return true;
}

// The threads and their buffers go when everything is there.
void WeightStore::finish() {
  static_cast<void>(send());
  if (threads_.empty()) return;
  {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return error_ != nullptr || queue_.empty(); });
    stopping_ = true;
    work_.notify_all();
  }
  threads_.clear();
  stopping_ = false;
  queue_.clear();
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

WeightStore::~WeightStore() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    queue_.clear();
    work_.notify_all();
  }
  threads_.clear();
}

void WeightStore::bring() {
  try {
    bring_loads();
  } catch (...) {
    const std::scoped_lock lock(mutex_);
    if (error_ == nullptr) error_ = std::current_exception();
    done_.notify_all();
  }
}

void WeightStore::bring_loads() {
  require(cudaSetDevice(device_), "select a device");
  Lane lane;
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) break;
    const Load load = std::move(queue_.front());
    queue_.pop_front();
    done_.notify_all();
    lock.unlock();
    lane.bring(load);
    lock.lock();
  }
  lock.unlock();
  lane.finish();
}

}  // namespace m2::cuda
