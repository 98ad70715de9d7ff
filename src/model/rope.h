// Rotary tables: inverse frequencies of every rope type and the cosines and sines of a forward.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "m2/config.h"
#include "m2/tensor.h"

namespace m2 {

/// Immutable after construction; any number of threads may fill from one table.
class RopeTable {
 public:
  explicit RopeTable(const MiniMaxM2Config& config);

  /// R; even.
  [[nodiscard]] std::int64_t rotary_dim() const { return rotary_dim_; }
  /// What cosines and sines are multiplied with (yarn, longrope; 1 for the others).
  [[nodiscard]] float attention_scale() const { return attention_scale_; }
  /// True when the frequencies depend on the length of the sequence, so that a key may differ
  /// between a text and the same text continued.
  [[nodiscard]] bool depends_on_length() const {
    return parameters_.type == RopeType::kDynamic || parameters_.type == RopeType::kLongrope;
  }
  /// The frequencies of short sequences, [R / 2].
  [[nodiscard]] std::span<const float> inv_freq() const { return inv_freq_; }
  /// The frequencies of a forward whose largest position is seq_len - 1, [R / 2]: longrope takes
  /// its long factors beyond the original length, dynamic rescales beyond the maximal one (and
  /// returns to the original frequencies in the next short forward). The other types ignore it.
  [[nodiscard]] std::vector<float> inv_freq(std::int64_t seq_len) const;

  /// cos and sin [T, R / 2] f32 of `positions` [T], the attention scale included. One seq_len, the
  /// largest position + 1, chooses the frequencies of all of them, as in the reference.
  void fill(std::span<const std::int64_t> positions, const TensorView& cos,
            const TensorView& sin) const;
  /// The same with a given seq_len: for a batch whose sequences must not depend on each other.
  void fill(std::span<const std::int64_t> positions, std::int64_t seq_len, const TensorView& cos,
            const TensorView& sin) const;

 private:
  [[nodiscard]] std::vector<float> dynamic_inv_freq(std::int64_t seq_len) const;
  // Those of inv_freq(seq_len); `rescaled` is where they lie if the table has none of them.
  [[nodiscard]] std::span<const float> frequencies(std::int64_t seq_len,
                                                   std::vector<float>& rescaled) const;

  RopeParameters parameters_;
  std::int64_t max_position_embeddings_;
  std::int64_t rotary_dim_;
  float attention_scale_ = 1.0F;
  std::vector<float> inv_freq_;       // [R / 2]
  std::vector<float> long_inv_freq_;  // [R / 2], longrope only
};

}  // namespace m2
