#include "ops/attention.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/philox.h"
#include "ops/contract.h"

namespace m2 {
namespace {

void check_sequences(const AttentionArgs& args) {
  const Shape& q = args.q.shape;
  check_tensor("attention", "context_lens", args.context_lens, DType::kI32, 1);
  const Shape& lens = args.context_lens.shape;
  check_shape("attention", "cu_seqlens", args.cu_seqlens, DType::kI32, {lens[0] + 1},
              "context_lens", lens);
  check_shape("attention", "key_begin", args.key_begin, DType::kI32, {q[0]}, "q", q);
  check_shape("attention", "key_end", args.key_end, DType::kI32, {q[0]}, "q", q);
  check_tensor("attention", "block_tables", args.block_tables, DType::kI32, 2);
  const Shape& tables = args.block_tables.shape;
  M2_CHECK(tables[0] == lens[0], "attention: block_tables ", tables,
           " does not match context_lens ", lens);
  M2_CHECK(args.max_context_len >= 0 && args.max_context_len <= tables[1] * args.cache.block_size(),
           "attention: context of ", args.max_context_len, " exceeds ", tables[1], " blocks of ",
           args.cache.block_size());
  M2_CHECK(args.max_queries >= 0 && q[0] <= lens[0] * args.max_queries, "attention: q ", q,
           " exceeds ", lens[0], " sequences of ", args.max_queries, " queries");
}

void check_masks(const AttentionArgs& args) {
  const std::int64_t num_seqs = args.context_lens.shape[0];
  if (args.key_mask.present()) {
    check_tensor("attention", "key_mask", args.key_mask, DType::kU8, 2);
    const Shape& shape = args.key_mask.shape;
    M2_CHECK(shape[0] == num_seqs && shape[1] >= args.max_context_len, "attention: key_mask ",
             shape, " does not cover ", num_seqs, " sequences of ", args.max_context_len, " keys");
  }
  if (!args.mask.present()) return;
  const DType dtype = args.mask.dtype == DType::kBool ? DType::kBool : DType::kF32;
  check_tensor("attention", "mask", args.mask, dtype, 4);
  const Shape& shape = args.mask.shape;
  const std::int64_t num_heads = args.q.shape[1];
  const bool fits = (shape[0] == num_seqs || shape[0] == 1) &&
                    (shape[1] == num_heads || shape[1] == 1) && shape[2] == args.max_queries &&
                    shape[3] == args.max_context_len &&
                    args.q.shape[0] == num_seqs * args.max_queries;
  M2_CHECK(fits, "attention: mask ", shape, " does not match q ", args.q.shape, " in ", num_seqs,
           " sequences of ", args.max_queries, " queries and ", args.max_context_len, " keys");
}

void check_probabilities(const AttentionArgs& args) {
  const std::int64_t num_seqs = args.context_lens.shape[0];
  const Shape& q = args.q.shape;
  check_shape("attention", "probabilities", args.probabilities, DType::kF32,
              {num_seqs, q[1], args.max_queries, args.max_context_len}, "q", q);
  M2_CHECK(q[0] == num_seqs * args.max_queries, "attention: probabilities ",
           args.probabilities.shape, " need that many queries in every sequence, q is ", q);
}

}  // namespace

void check(const AttentionArgs& args) {
  check_cache("attention", args.cache);
  check_tensor("attention", "q", args.q, DType::kF32, 3);
  const Shape& q = args.q.shape;
  const std::int64_t num_kv_heads = args.cache.num_kv_heads();
  M2_CHECK(q[2] == args.cache.head_dim() && num_kv_heads > 0 && q[1] % num_kv_heads == 0,
           "attention: keys ", args.cache.keys.shape, " does not match q ", q);
  check_shape("attention", "output", args.output, DType::kF32, q, "q", q);
  check_disjoint("attention", "output", args.output, "q", args.q);
  check_sequences(args);
  check_masks(args);
  M2_CHECK(args.dropout >= 0.0F && args.dropout <= 1.0F, "attention: dropout ", args.dropout);
  if (args.probabilities.present()) check_probabilities(args);
}

bool dropped(const AttentionArgs& args, std::int64_t sequence, std::int64_t head,
             std::int64_t query, std::int64_t key) {
  const auto words =
      philox4x32({static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(query),
                  static_cast<std::uint32_t>(head), static_cast<std::uint32_t>(sequence)},
                 philox_key(args.dropout_seed));
  return unit_float(words[0]) < args.dropout;
}

namespace reference {
namespace {

// One sequence and one query head of the batch.
struct HeadView {
  const AttentionArgs& args;
  std::int64_t sequence;
  std::int64_t head;

  [[nodiscard]] std::int64_t context_len() const {
    return args.context_lens.as<std::int32_t>()[sequence];
  }
  [[nodiscard]] std::int64_t first_query() const {
    return args.cu_seqlens.as<std::int32_t>()[sequence];
  }
  [[nodiscard]] std::int64_t num_queries() const {
    return args.cu_seqlens.as<std::int32_t>()[sequence + 1] - first_query();
  }
  [[nodiscard]] bool visible(std::int64_t query, std::int64_t key) const {
    const std::int64_t token = first_query() + query;
    if (key < args.key_begin.as<std::int32_t>()[token]) return false;
    if (key >= args.key_end.as<std::int32_t>()[token]) return false;
    const TensorView& padding = args.key_mask;
    if (padding.present() && padding.as<std::uint8_t>()[sequence * padding.shape[1] + key] == 0) {
      return false;
    }
    return args.mask.dtype != DType::kBool ||
           static_cast<const std::uint8_t*>(args.mask.data)[mask_index(query, key)] != 0;
  }
  // What is added to the score.
  [[nodiscard]] float bias(std::int64_t query, std::int64_t key) const {
    if (!args.mask.present() || args.mask.dtype == DType::kBool) return 0.0F;
    return args.mask.as<float>()[mask_index(query, key)];
  }
  [[nodiscard]] std::int64_t mask_index(std::int64_t query, std::int64_t key) const {
    const Shape& shape = args.mask.shape;
    const std::int64_t s = shape[0] == 1 ? 0 : sequence;
    const std::int64_t h = shape[1] == 1 ? 0 : head;
    return ((s * shape[1] + h) * shape[2] + query) * shape[3] + key;
  }
  // The key or value of a token, [D].
  void load(KvPart part, std::int64_t key, std::span<float> vector) const {
    const KvCacheView& cache = args.cache;
    const std::int64_t max_blocks = args.block_tables.shape[1];
    const std::int64_t block =
        args.block_tables.as<std::int32_t>()[sequence * max_blocks + key / cache.block_size()];
    M2_DCHECK(block >= 0 && (block < cache.num_blocks() || block >= kFirstQuantizedBlock),
              "attention: block ", block, " is outside keys ", cache.keys.shape);
    const std::int64_t kv_head = head / (args.q.shape[1] / cache.num_kv_heads());
    load_vector(cache, part, {block, kv_head, key % cache.block_size()}, vector);
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

float score_of(const HeadView& view, const float* q, std::int64_t key, std::span<float> vector) {
  view.load(KvPart::kKeys, key, vector);
  double sum = 0.0;
  for (std::size_t dim = 0; dim < vector.size(); ++dim) sum += double{q[dim]} * double{vector[dim]};
  return static_cast<float>(sum * double{view.args.scale});
}

void drop(const HeadView& view, std::int64_t query, std::span<float> probabilities) {
  const AttentionArgs& args = view.args;
  if (args.dropout == 0.0F) return;
  for (std::int64_t key = 0; key < view.context_len(); ++key) {
    float& probability = probabilities[static_cast<std::size_t>(key)];
    const bool gone = dropped(args, view.sequence, view.head, query, key);
    probability = gone ? 0.0F : probability / (1.0F - args.dropout);
  }
}

// The probabilities of one query over all keys; hidden keys get 0.
void attend(const HeadView& view, const float* q, std::int64_t query, std::span<float> scores) {
  if (scores.empty()) return;
  std::vector<float> vector(static_cast<std::size_t>(view.args.q.shape[2]));
  for (std::int64_t key = 0; key < view.context_len(); ++key) {
    float& score = scores[static_cast<std::size_t>(key)];
    score = -HUGE_VALF;
    if (view.visible(query, key)) score = score_of(view, q, key, vector) + view.bias(query, key);
  }
  if (!softmax(scores)) {
    const bool uniform = view.args.fully_masked == FullyMasked::kUniform;
    std::fill(scores.begin(), scores.end(),
              uniform ? 1.0F / static_cast<float>(view.context_len()) : 0.0F);
  }
  drop(view, query, scores);
}

void weigh(const HeadView& view, std::span<const float> probabilities, float* output) {
  std::vector<float> vector(static_cast<std::size_t>(view.args.q.shape[2]));
  std::vector<double> sums(vector.size(), 0.0);
  for (std::int64_t key = 0; key < view.context_len(); ++key) {
    const float probability = probabilities[static_cast<std::size_t>(key)];
    if (probability == 0.0F) continue;
    view.load(KvPart::kValues, key, vector);
    for (std::size_t dim = 0; dim < sums.size(); ++dim) {
      sums[dim] += double{probability} * double{vector[dim]};
    }
  }
  std::ranges::transform(sums, output, [](double sum) { return static_cast<float>(sum); });
}

void attention_head(const HeadView& view, std::vector<float>& scores) {
  const AttentionArgs& args = view.args;
  const std::int64_t num_heads = args.q.shape[1];
  scores.resize(static_cast<std::size_t>(view.context_len()));
  for (std::int64_t query = 0; query < view.num_queries(); ++query) {
    const std::int64_t row =
        ((view.first_query() + query) * num_heads + view.head) * args.q.shape[2];
    attend(view, args.q.as<float>() + row, query, scores);
    weigh(view, scores, args.output.as<float>() + row);
    if (!args.probabilities.present()) continue;
    const Shape& shape = args.probabilities.shape;
    const std::int64_t to = ((view.sequence * shape[1] + view.head) * shape[2] + query) * shape[3];
    std::copy(scores.begin(), scores.end(), args.probabilities.as<float>() + to);
  }
}

}  // namespace

void attention(const AttentionArgs& args) {
  check(args);
  std::vector<float> scores;
  for (std::int64_t sequence = 0; sequence < args.context_lens.shape[0]; ++sequence) {
    for (std::int64_t head = 0; head < args.q.shape[1]; ++head) {
      attention_head({args, sequence, head}, scores);
    }
  }
}

}  // namespace reference
}  // namespace m2
