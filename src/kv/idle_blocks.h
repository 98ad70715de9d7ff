// Blocks that nobody owns but that keep their contents, in the order in which they became idle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace m2 {

/// A doubly linked list over block numbers: every operation takes constant time and no memory.
class IdleBlocks {
 public:
  [[nodiscard]] std::int32_t size() const { return size_; }
  /// Room for the blocks 0 .. num_blocks - 1.
  void grow(std::int32_t num_blocks) { links_.resize(static_cast<std::size_t>(num_blocks)); }

  /// `block` is not in the list.
  void push_back(std::int32_t block) {
    links_[static_cast<std::size_t>(block)] = {.before = last_, .after = kNone};
    after(last_) = block;
    last_ = block;
    ++size_;
  }
  /// `block` is in the list.
  void remove(std::int32_t block) {
    const Link link = links_[static_cast<std::size_t>(block)];
    after(link.before) = link.after;
    (link.after == kNone ? last_ : links_[static_cast<std::size_t>(link.after)].before) =
        link.before;
    --size_;
  }
  /// The block that has been idle for longest.
  [[nodiscard]] std::optional<std::int32_t> pop_front() {
    if (size_ == 0) return std::nullopt;
    const std::int32_t block = first_;
    remove(block);
    return block;
  }

 private:
  static constexpr std::int32_t kNone = -1;
  struct Link {
    std::int32_t before = kNone;
    std::int32_t after = kNone;
  };
  // What follows `block`, or begins the list.
  std::int32_t& after(std::int32_t block) {
    return block == kNone ? first_ : links_[static_cast<std::size_t>(block)].after;
  }

  std::vector<Link> links_;  // [P]
  std::int32_t first_ = kNone;
  std::int32_t last_ = kNone;
  std::int32_t size_ = 0;
};

}  // namespace m2
