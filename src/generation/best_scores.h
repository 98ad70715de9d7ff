// The best scores of a row, which stand for the whole of it where a sampler looks at no others.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace m2::generation {

/// In the order of ids, so that a draw from them is the draw from the whole row. Reused from row to
/// row: room for the most scores seen stays.
class BestScores {
 public:
  /// Takes the K best scores of a row, in descending order.
  void assign(std::span<const std::int32_t> ids, std::span<const float> scores);

  /// Forgets the ids from `num_tokens` on.
  void drop_from(std::int64_t num_tokens);

  [[nodiscard]] std::span<float> scores() { return scores_; }
  [[nodiscard]] std::int32_t id(std::size_t index) const { return ids_[index]; }
  /// What has become of the score that was the least; there must be scores.
  [[nodiscard]] float worst() const;

 private:
  struct Ranked {
    std::int32_t id;
    std::int32_t rank;
  };
  std::vector<Ranked> order_;  // [K], ascending ids
  std::vector<std::int32_t> ids_;
  std::vector<float> scores_;
};

}  // namespace m2::generation
