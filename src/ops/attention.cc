#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {
namespace {

void check_sequence(const AttentionArgs& args, std::size_t sequence) {
  const Shape& cache = args.key_cache.shape;
  const std::int64_t num_queries = args.cu_seqlens[sequence + 1] - args.cu_seqlens[sequence];
  const std::int64_t context_len = args.context_lens[sequence];
  M2_CHECK(num_queries >= 0 && num_queries <= context_len, "attention: sequence ", sequence,
           " has ", num_queries, " queries and a context of ", context_len);
  M2_CHECK(context_len <= args.max_blocks * cache[2], "attention: context of ", context_len,
           " exceeds ", args.max_blocks, " blocks of ", cache[2]);
  const std::int64_t num_blocks = (context_len + cache[2] - 1) / cache[2];
  const auto table =
      args.block_tables.subspan(sequence * static_cast<std::size_t>(args.max_blocks));
  for (std::int64_t i = 0; i < num_blocks; ++i) {
    const auto block = table[static_cast<std::size_t>(i)];
    M2_CHECK(block >= 0 && block < cache[0], "attention: block ", block, " is outside key_cache ",
             cache);
  }
}

void check_probabilities(const AttentionArgs& args) {
  check_tensor("attention", "probabilities", args.probabilities, DType::kF32, 4);
  const Shape& shape = args.probabilities.shape;
  const auto num_seqs = static_cast<std::int64_t>(args.context_lens.size());
  M2_CHECK(shape[0] == num_seqs && shape[1] == args.q.shape[1], "attention: probabilities ", shape,
           " does not match ", num_seqs, " sequences and q ", args.q.shape);
  for (std::size_t s = 0; s < args.context_lens.size(); ++s) {
    M2_CHECK(
        args.cu_seqlens[s + 1] - args.cu_seqlens[s] == shape[2] && args.context_lens[s] == shape[3],
        "attention: probabilities ", shape, " need that many queries and keys in sequence ", s);
  }
}

}  // namespace

void check(const AttentionArgs& args) {
  check_cache("attention", args.key_cache, args.value_cache);
  check_tensor("attention", "q", args.q, DType::kF32, 3);
  const Shape& q = args.q.shape;
  const Shape& cache = args.key_cache.shape;
  M2_CHECK(q[2] == cache[3] && cache[1] > 0 && q[1] % cache[1] == 0, "attention: key_cache ", cache,
           " does not match q ", q);
  check_shape("attention", "output", args.output, DType::kF32, q, "q", q);
  check_disjoint("attention", "output", args.output, "q", args.q);
  const std::size_t num_seqs = args.context_lens.size();
  M2_CHECK(args.cu_seqlens.size() == num_seqs + 1 && args.cu_seqlens.front() == 0 &&
               args.cu_seqlens.back() == q[0],
           "attention: cu_seqlens of ", args.cu_seqlens.size(), " does not match ", num_seqs,
           " context_lens and q ", q);
  M2_CHECK(args.max_blocks >= 0 &&
               args.block_tables.size() >= num_seqs * static_cast<std::size_t>(args.max_blocks),
           "attention: block_tables of ", args.block_tables.size(), " does not match ", num_seqs,
           " sequences of ", args.max_blocks, " blocks");
  for (std::size_t s = 0; s < num_seqs; ++s) check_sequence(args, s);
  if (!args.key_mask.empty()) {
    M2_CHECK(args.key_mask.size() >= num_seqs * static_cast<std::size_t>(args.mask_stride) &&
                 std::all_of(args.context_lens.begin(), args.context_lens.end(),
                             [&](auto length) { return length <= args.mask_stride; }),
             "attention: key_mask of ", args.key_mask.size(), " with mask_stride ",
             args.mask_stride, " does not cover the contexts of ", num_seqs, " sequences");
  }
  if (args.probabilities.present()) check_probabilities(args);
}

namespace reference {
namespace {

// One sequence and one query head of the batch.
struct HeadView {
  const AttentionArgs& args;
  std::int64_t sequence;
  std::int64_t head;

  [[nodiscard]] std::int64_t context_len() const {
    return args.context_lens[static_cast<std::size_t>(sequence)];
  }
  [[nodiscard]] std::int64_t first_query() const {
    return args.cu_seqlens[static_cast<std::size_t>(sequence)];
  }
  [[nodiscard]] std::int64_t num_queries() const {
    return args.cu_seqlens[static_cast<std::size_t>(sequence) + 1] - first_query();
  }
  [[nodiscard]] bool masked(std::int64_t key) const {
    return !args.key_mask.empty() &&
           args.key_mask[static_cast<std::size_t>(sequence * args.mask_stride + key)] == 0;
  }
  // Element 0 of the key's vector in either cache.
  [[nodiscard]] std::int64_t cache_index(std::int64_t key) const {
    const Shape& cache = args.key_cache.shape;
    const auto entry = static_cast<std::size_t>(sequence * args.max_blocks + key / cache[2]);
    const std::int64_t block = args.block_tables[entry];
    const std::int64_t kv_head = head / (args.q.shape[1] / cache[1]);
    return ((block * cache[1] + kv_head) * cache[2] + key % cache[2]) * cache[3];
  }
};

// softmax(scores) in place; false when every score is -inf.
bool softmax(std::span<float> scores) {
  const float largest = *std::max_element(scores.begin(), scores.end());
  if (largest == -HUGE_VALF) return false;
  double sum = 0.0;
  for (float& score : scores) {
    score = std::exp(score - largest);
    sum += score;
  }
  for (float& score : scores) score = static_cast<float>(score / sum);
  return true;
}

// The probabilities of one query over all keys; future and hidden keys get 0.
void attend(const HeadView& view, const float* q, std::int64_t index, std::span<float> scores) {
  const AttentionArgs& args = view.args;
  const std::int64_t head_dim = args.q.shape[2];
  for (std::int64_t key = 0; key < view.context_len(); ++key) {
    float& score = scores[static_cast<std::size_t>(key)];
    score = -HUGE_VALF;
    if (key > index || view.masked(key)) continue;
    const std::int64_t first = view.cache_index(key);
    double sum = 0.0;
    for (std::int64_t dim = 0; dim < head_dim; ++dim) {
      sum += double{q[dim]} *
             double{load_float(args.key_cache.data, args.key_cache.dtype, first + dim)};
    }
    score = static_cast<float>(sum * double{args.scale});
  }
  if (softmax(scores)) return;
  const bool uniform = args.fully_masked == FullyMasked::kUniform;
  std::fill(scores.begin(), scores.end(),
            uniform ? 1.0F / static_cast<float>(view.context_len()) : 0.0F);
}

void attention_head(const HeadView& view, std::vector<float>& scores) {
  const AttentionArgs& args = view.args;
  const std::int64_t num_heads = args.q.shape[1];
  const std::int64_t head_dim = args.q.shape[2];
  scores.resize(static_cast<std::size_t>(view.context_len()));
  for (std::int64_t i = 0; i < view.num_queries(); ++i) {
    const std::int64_t row = ((view.first_query() + i) * num_heads + view.head) * head_dim;
    attend(view, args.q.as<float>() + row, view.context_len() - view.num_queries() + i, scores);
    for (std::int64_t dim = 0; dim < head_dim; ++dim) {
      double sum = 0.0;
      for (std::int64_t key = 0; key < view.context_len(); ++key) {
        const float probability = scores[static_cast<std::size_t>(key)];
        if (probability == 0.0F) continue;
        sum +=
            double{probability} * double{load_float(args.value_cache.data, args.value_cache.dtype,
                                                    view.cache_index(key) + dim)};
      }
      args.output.as<float>()[row + dim] = static_cast<float>(sum);
    }
    if (!args.probabilities.present()) continue;
    const std::int64_t to =
        ((view.sequence * num_heads + view.head) * view.num_queries() + i) * view.context_len();
    std::copy(scores.begin(), scores.end(), args.probabilities.as<float>() + to);
  }
}

}  // namespace

void attention(const AttentionArgs& args) {
  check(args);
  std::vector<float> scores;
  const auto num_seqs = static_cast<std::int64_t>(args.context_lens.size());
  for (std::int64_t sequence = 0; sequence < num_seqs; ++sequence) {
    for (std::int64_t head = 0; head < args.q.shape[1]; ++head) {
      attention_head({args, sequence, head}, scores);
    }
  }
}

}  // namespace reference
}  // namespace m2
