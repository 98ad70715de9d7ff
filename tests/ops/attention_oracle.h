// What float64 makes of a batch of attention, and how far float32 may be from it.
#pragma once

#include "ops/attention_cases.h"

namespace m2::test {

struct ExpectedAttention {
  std::vector<double> values;
  std::vector<double> tolerance;
};

/// One query head in float64, with the error that float32 may add: that of the scores goes through
/// the softmax twice (numerator and denominator), then sums over the keys.
struct HeadOracle {
  const AttentionBatch& batch;
  const AttentionArgs& args;
  const std::string& target;
  std::size_t sequence = 0;
  std::int64_t token = 0;
  std::int64_t head = 0;
  std::span<const AttentionBatch::Vector> keys;    // of the head, all of the sequence
  std::span<const AttentionBatch::Vector> values;  // the same

  [[nodiscard]] bool visible(std::int64_t key) const {
    const auto t = static_cast<std::size_t>(token);
    if (key < batch.key_begin[t] || key >= batch.key_end[t]) return false;
    if (!batch.key_mask.empty() &&
        batch.key_mask[sequence * static_cast<std::size_t>(batch.max_context_len + 3) +
                       static_cast<std::size_t>(key)] == 0) {
      return false;
    }
    return batch.mask.view().dtype != DType::kBool ||
           static_cast<const std::uint8_t*>(batch.mask.view().data)[mask_index(key)] != 0;
  }
  [[nodiscard]] double bias(std::int64_t key) const {
    const bool additive = batch.mask.present() && batch.mask.view().dtype == DType::kF32;
    return additive ? double{batch.mask.as<float>()[mask_index(key)]} : 0.0;
  }
  [[nodiscard]] std::int64_t mask_index(std::int64_t key) const {
    const Shape& shape = batch.mask.shape();
    const std::int64_t s = shape[0] == 1 ? 0 : static_cast<std::int64_t>(sequence);
    const std::int64_t query = token - batch.cu_seqlens[sequence];
    return ((s * shape[1] + (shape[1] == 1 ? 0 : head)) * shape[2] + query) * shape[3] + key;
  }

  void append_to(ExpectedAttention& out) const {
    const std::int64_t head_dim = batch.q.shape()[2];
    const std::int64_t context_len = batch.context_lens[sequence];
    const float* q = batch.q.as<float>() + (token * batch.q.shape()[1] + head) * head_dim;
    std::vector<double> weights(static_cast<std::size_t>(context_len), -HUGE_VAL);
    double score_error = 0.0;
    for (std::int64_t key = 0; key < context_len; ++key) {
      if (!visible(key)) continue;
      double dot = 0.0;
      double magnitude = 0.0;
      const auto& vector = keys[static_cast<std::size_t>(key)];
      for (std::size_t dim = 0; dim < vector.values.size(); ++dim) {
        dot += double{q[dim]} * double{vector.values[dim]};
        magnitude += std::fabs(double{q[dim]}) * vector.magnitudes[dim];
      }
      weights[static_cast<std::size_t>(key)] = dot * double{args.scale} + bias(key);
      const double added = std::fabs(bias(key)) < 1e30 ? std::fabs(bias(key)) : 0.0;
      score_error = std::max(score_error, kUnitRoundoff * ((dot_roundings(head_dim, target) + 6.0) *
                                                               magnitude * double{args.scale} +
                                                           2.0 * added));
    }
    const double sum = exponentials(weights);
    const double relative =
        2.0 * score_error + (static_cast<double>(context_len) + 32.0) * kUnitRoundoff;
    std::vector<double> output(static_cast<std::size_t>(head_dim));
    std::vector<double> magnitudes(output.size());
    for (std::int64_t key = 0; key < context_len && sum > 0.0; ++key) {
      const double weight = weights[static_cast<std::size_t>(key)] / sum;
      if (weight == 0.0) continue;
      const auto& vector = values[static_cast<std::size_t>(key)];
      for (std::size_t dim = 0; dim < output.size(); ++dim) {
        output[dim] += weight * double{vector.values[dim]};
        magnitudes[dim] += weight * vector.magnitudes[dim];
      }
    }
    for (std::size_t dim = 0; dim < output.size(); ++dim) {
      out.values.push_back(output[dim]);
      out.tolerance.push_back(relative * magnitudes[dim]);
    }
  }

  // exp(score - largest) in place and their sum.
  double exponentials(std::vector<double>& scores) const {
    double largest = -HUGE_VAL;
    for (const double score : scores) largest = std::max(largest, score);
    const bool uniform = args.fully_masked == FullyMasked::kUniform;
    double sum = 0.0;
    for (double& score : scores) {
      score = largest > -HUGE_VAL ? std::exp(score - largest) : uniform ? 1.0 : 0.0;
      sum += score;
    }
    return sum;
  }
};

/// The vectors of every KV head, [Nkv][context_len].
inline std::vector<std::vector<AttentionBatch::Vector>> load_all(const AttentionBatch& batch,
                                                                 KvPart part, std::size_t s) {
  std::vector<std::vector<AttentionBatch::Vector>> heads;
  for (std::int64_t head = 0; head < batch.keys.shape()[1]; ++head) {
    auto& vectors = heads.emplace_back();
    for (std::int64_t key = 0; key < batch.context_lens[s]; ++key) {
      vectors.push_back(batch.load(part, s, key, head));
    }
  }
  return heads;
}

inline ExpectedAttention expected_attention(const AttentionBatch& batch, const AttentionArgs& args,
                                            const std::string& target) {
  ExpectedAttention result;
  const std::int64_t group = batch.q.shape()[1] / batch.keys.shape()[1];
  for (std::size_t s = 0; s < batch.context_lens.size(); ++s) {
    const auto keys = load_all(batch, KvPart::kKeys, s);
    const auto values = load_all(batch, KvPart::kValues, s);
    for (std::int32_t token = batch.cu_seqlens[s]; token < batch.cu_seqlens[s + 1]; ++token) {
      for (std::int64_t head = 0; head < batch.q.shape()[1]; ++head) {
        const auto kv_head = static_cast<std::size_t>(head / group);
        HeadOracle{batch, args, target, s, token, head, keys[kv_head], values[kv_head]}.append_to(
            result);
      }
    }
  }
  return result;
}

}  // namespace m2::test
