#include "base/philox.h"
#include "cuda/attention.cuh"
#include "cuda/dispatch.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

constexpr int kThreads = 128;  // also the keys that are scored together

// The larger one; a NaN wins, so that damage shows.
__device__ float larger(float a, float b) { return isnan(a) || a > b ? a : b; }

__device__ float largest_of_block(float value, float* scratch) {
  for (int step = 16; step > 0; step /= 2) {
    value = larger(value, __shfl_xor_sync(kAllLanes, value, step));
  }
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  value = scratch[0];
  for (int i = 1; i < kThreads / 32; ++i) value = larger(value, scratch[i]);
  __syncthreads();
  return value;
}

// One query and head.
struct Row {
  const AttentionView& args;
  int token;
  int head;
  int sequence;
  int query;  // in its sequence
  int kv_head;
  int context_len;

  __device__ Row(const AttentionView& view, int token_index, int head_index)
      : args(view), token(token_index), head(head_index) {
    sequence = 0;
    int end = view.num_seqs;  // the last sequence that starts at or before the token
    while (end - sequence > 1) {
      const int middle = (sequence + end) / 2;
      (view.cu_seqlens[middle] <= token ? sequence : end) = middle;
    }
    query = token - view.cu_seqlens[sequence];
    kv_head = head / (view.num_heads / view.num_kv_heads);
    context_len = view.context_lens[sequence];
  }

  __device__ std::int64_t mask_index(int key) const {
    const std::int64_t s = args.mask_seqs == 1 ? 0 : sequence;
    const std::int64_t h = args.mask_heads == 1 ? 0 : head;
    return ((s * args.mask_heads + h) * args.max_queries + query) * args.max_context_len + key;
  }
  __device__ bool visible(int key) const {
    if (key < args.key_begin[token] || key >= args.key_end[token]) return false;
    if (args.padding(sequence, key)) return false;
    return args.mask == nullptr || !args.mask_is_bool ||
           static_cast<const std::uint8_t*>(args.mask)[mask_index(key)] != 0;
  }
  __device__ float bias(int key) const {
    if (args.mask == nullptr || args.mask_is_bool) return 0.0F;
    return static_cast<const float*>(args.mask)[mask_index(key)];
  }
  // What dropout leaves of a probability.
  __device__ float kept(float probability, int key) const {
    if (args.dropout == 0.0F) return probability;
    const auto words =
        philox4x32({static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(query),
                    static_cast<std::uint32_t>(head), static_cast<std::uint32_t>(sequence)},
                   philox_key(args.dropout_seed));
    return unit_float(words[0]) < args.dropout ? 0.0F : probability / (1.0F - args.dropout);
  }
};

template <DType kType>
__device__ float score_of(const Row& row, const float* q, int key) {
  const AttentionView& args = row.args;
  const std::int64_t first = args.cache_row(row.sequence, row.kv_head, key) * args.head_dim;
  float sum = 0.0F;
  for (int dim = 0; dim < args.head_dim; ++dim) {
    sum += q[dim] * load_element<kType>(args.keys, first + dim);
  }
  return sum * args.scale + row.bias(key);
}

// acc = acc * keep + sum of weights[i] * value of key first_key + i.
template <DType kType>
__device__ void add_values(const Row& row, const float* weights, int first_key, int num_keys,
                           float keep, float* acc) {
  const AttentionView& args = row.args;
  for (int dim = threadIdx.x; dim < args.head_dim; dim += kThreads) {
    float sum = acc[dim] * keep;
    for (int i = 0; i < num_keys; ++i) {
      if (weights[i] == 0.0F) continue;
      const std::int64_t at = args.cache_row(row.sequence, row.kv_head, first_key + i);
      sum += weights[i] * load_element<kType>(args.values, at * args.head_dim + dim);
    }
    acc[dim] = sum;
  }
  __syncthreads();
}

// A query without visible keys: every one of its context counts the same.
template <DType kType>
__device__ void add_uniform(const Row& row, float* weights, float* acc) {
  for (int first = 0; first < row.context_len; first += kThreads) {
    const int key = first + threadIdx.x;
    weights[threadIdx.x] = row.kept(1.0F / static_cast<float>(row.context_len), key);
    __syncthreads();
    add_values<kType>(row, weights, first, min(kThreads, row.context_len - first), 1.0F, acc);
  }
}

// Scores are in the probabilities already, -inf where hidden.
__device__ void finish_probabilities(const Row& row, float* probabilities, float largest,
                                     float sum) {
  const bool masked = largest == -INFINITY;
  const float otherwise =
      row.args.uniform_when_masked ? 1.0F / static_cast<float>(row.context_len) : 0.0F;
  for (int key = threadIdx.x; key < row.context_len; key += kThreads) {
    const float value = masked ? otherwise : expf(probabilities[key] - largest) / sum;
    probabilities[key] = row.kept(value, key);
  }
}

// Grid: x tokens, y heads. Online softmax over chunks of kThreads keys.
template <DType kType>
__global__ void plain_attention_kernel(AttentionView args) {
  extern __shared__ float shared[];
  __shared__ float scratch[32];
  __shared__ float weights[kThreads];
  begin_kernel();
  float* q = shared;                    // [D]
  float* acc = shared + args.head_dim;  // [D]
  const Row row(args, blockIdx.x, blockIdx.y);
  const std::int64_t vector = (std::int64_t{blockIdx.x} * args.num_heads + row.head);
  for (int dim = threadIdx.x; dim < args.head_dim; dim += kThreads) {
    q[dim] = args.q[vector * args.head_dim + dim];
    acc[dim] = 0.0F;
  }
  __syncthreads();

  float* probabilities = nullptr;
  if (args.probabilities != nullptr) {
    const std::int64_t head = std::int64_t{row.sequence} * args.num_heads + row.head;
    probabilities =
        args.probabilities + (head * args.max_queries + row.query) * args.max_context_len;
  }
  // Only a study looks at the keys that the query cannot see.
  const int begin = probabilities != nullptr ? 0 : args.key_begin[row.token];
  const int end = probabilities != nullptr ? row.context_len : args.key_end[row.token];
  float largest = -INFINITY;
  float sum = 0.0F;
  for (int first = begin; first < end; first += kThreads) {
    const int key = first + threadIdx.x;
    const bool visible = key < end && row.visible(key);
    const float score = visible ? score_of<kType>(row, q, key) : -INFINITY;
    if (probabilities != nullptr && key < end) probabilities[key] = score;
    const float before = largest;
    largest = larger(largest, largest_of_block(score, scratch));
    if (largest == -INFINITY) continue;  // nothing visible yet
    const float keep = expf(before - largest);
    const float weight = expf(score - largest);
    sum = sum * keep + sum_of_block(weight, scratch);
    weights[threadIdx.x] = weight == 0.0F ? 0.0F : row.kept(weight, key);
    __syncthreads();
    add_values<kType>(row, weights, first, min(kThreads, end - first), keep, acc);
  }
  const bool masked = largest == -INFINITY;
  if (masked && args.uniform_when_masked) add_uniform<kType>(row, weights, acc);
  for (int dim = threadIdx.x; dim < args.head_dim; dim += kThreads) {
    args.output[vector * args.head_dim + dim] = masked ? acc[dim] : acc[dim] / sum;
  }
  if (probabilities != nullptr) finish_probabilities(row, probabilities, largest, sum);
}

template <DType kType>
void launch(const AttentionArgs& args, Context& context) {
  const AttentionView view = attention_view(args);
  const dim3 grid(static_cast<unsigned>(args.q.shape[0]), static_cast<unsigned>(view.num_heads));
  const int num_bytes = 2 * view.head_dim * static_cast<int>(sizeof(float));
  allow_shared_memory(plain_attention_kernel<kType>, num_bytes);
  launch_kernel(context, plain_attention_kernel<kType>, grid, kThreads, num_bytes, view);
}

}  // namespace

void plain_attention(const AttentionArgs& args, Context& context) {
  switch (args.cache.format) {
    case KvFormat::kF32:
      return launch<DType::kF32>(args, context);
    case KvFormat::kBF16:
      return launch<DType::kBF16>(args, context);
    case KvFormat::kF8E4M3:
      return launch<DType::kF8E4M3>(args, context);
    case KvFormat::kInt8:
      break;  // has quantised blocks, which attention() refuses
  }
}

}  // namespace m2::cuda
