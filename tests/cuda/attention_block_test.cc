// The attention half of a decode step as a whole, against its parts.
#include <numeric>

#include "cuda/device_cases.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

struct Case {
  std::vector<std::int32_t> context_lens;
  std::int64_t hidden_size, num_heads, num_kv_heads;
  KvFormat format = KvFormat::kBF16;
  DType dtype = DType::kF8E4M3;
  std::int32_t begin = 0;  // keys before it are hidden
};

class CudaAttentionBlock : public test::DeviceTest {
 protected:
  static constexpr std::int64_t kHeadDim = 128;
  static constexpr std::int64_t kBlockSize = 16;

  // A layer, a cache with contexts in shuffled blocks and what a step gives it.
  struct Layer {
    WeightView q, k, v, out;
    Tensor input_norm, q_norm, k_norm;
    Tensor cos, sin, slots, cu_seqlens, context_lens, begin, end, tables;
    std::int64_t max_blocks;
  };
  // What a run writes, or may write.
  struct State {
    Tensor residual, normed, q, k, v, attn_out, keys, values;
  };

  Layer make_layer(const Case& c, Random& random) {
    const auto tokens = std::ssize(c.context_lens);
    std::int64_t max_len = 0;
    for (const std::int32_t len : c.context_lens) max_len = std::max<std::int64_t>(max_len, len);
    const std::int64_t max_blocks = (max_len + kBlockSize - 1) / kBlockSize;
    std::vector<std::int32_t> tables(static_cast<std::size_t>(tokens * max_blocks));
    std::iota(tables.begin(), tables.end(), 0);
    std::shuffle(tables.begin(), tables.end(), std::mt19937(7));
    std::vector<std::int64_t> slots;
    std::vector<std::int32_t> starts = {0};
    for (std::int64_t s = 0; s < tokens; ++s) {
      const std::int64_t last = c.context_lens[static_cast<std::size_t>(s)] - 1;
      const auto block = tables[static_cast<std::size_t>(s * max_blocks + last / kBlockSize)];
      slots.push_back(block * kBlockSize + last % kBlockSize);
      starts.push_back(static_cast<std::int32_t>(s + 1));
    }
    const auto matrix = [&](std::int64_t rows, std::int64_t cols) {
      return place(StoredWeight(c.dtype, rows, cols, random).view());
    };
    const auto vector = [&](std::int64_t size) { return to_device(random.tensor({size}).view()); };
    const auto table = [&](const auto& values, const Shape& shape) {
      return to_device(test::tensor_of(values, shape).view());
    };
    const std::int64_t q_width = c.num_heads * kHeadDim;
    const std::int64_t k_width = c.num_kv_heads * kHeadDim;
    return {.q = matrix(q_width, c.hidden_size),
            .k = matrix(k_width, c.hidden_size),
            .v = matrix(k_width, c.hidden_size),
            .out = matrix(c.hidden_size, q_width),
            .input_norm = vector(c.hidden_size),
            .q_norm = vector(q_width),
            .k_norm = vector(k_width),
            .cos = to_device(random.tensor({tokens, 32}).view()),
            .sin = to_device(random.tensor({tokens, 32}).view()),
            .slots = table(slots, {tokens}),
            .cu_seqlens = table(starts, {tokens + 1}),
            .context_lens = table(c.context_lens, {tokens}),
            .begin = table(std::vector<std::int32_t>(slots.size(), c.begin), {tokens}),
            .end = table(c.context_lens, {tokens}),
            .tables = table(tables, {tokens, max_blocks}),
            .max_blocks = max_blocks};
  }

  State make_state(const Case& c, const Layer& layer, const Tensor& residual,
                   const Tensor& cached) {
    const auto tokens = std::ssize(c.context_lens);
    const auto room = [&](std::int64_t width) {
      return backend_->allocate(DType::kF32, {tokens, width});
    };
    const Shape cache = {tokens * layer.max_blocks, c.num_kv_heads, kBlockSize, kHeadDim};
    State state = {.residual = to_device(residual.view()),
                   .normed = room(c.hidden_size),
                   .q = room(c.num_heads * kHeadDim),
                   .k = room(c.num_kv_heads * kHeadDim),
                   .v = room(c.num_kv_heads * kHeadDim),
                   .attn_out = room(c.num_heads * kHeadDim),
                   .keys = backend_->allocate(storage_dtype(c.format), cache),
                   .values = backend_->allocate(storage_dtype(c.format), cache)};
    // Random contents, by the operation that stores them.
    const std::int64_t rows = cache[0] * kBlockSize;
    std::vector<std::int64_t> all(static_cast<std::size_t>(rows));
    std::iota(all.begin(), all.end(), 0);
    const Tensor numbers = to_device(cached.view());
    const Tensor every = to_device(test::tensor_of(all, {rows}).view());
    const TensorView heads = {numbers.view().data, DType::kF32, {rows, c.num_kv_heads, kHeadDim}};
    backend_->kv_append(
        {heads,
         heads,
         every.view(),
         {.keys = state.keys.view(), .values = state.values.view(), .format = c.format}});
    return state;
  }

  static AttentionBlockArgs arguments(const Case& c, const Layer& layer, State& state) {
    const auto tokens = std::ssize(c.context_lens);
    const auto heads = [&](const Tensor& tensor, std::int64_t count) {
      return TensorView{tensor.view().data, DType::kF32, {tokens, count, kHeadDim}};
    };
    const KvCacheView cache = {
        .keys = state.keys.view(), .values = state.values.view(), .format = c.format};
    return {.norm = {state.residual.view(), layer.input_norm.view(), 1e-6F, state.normed.view()},
            .projections = {LinearArgs{state.normed.view(), layer.q, state.q.view()},
                            LinearArgs{state.normed.view(), layer.k, state.k.view()},
                            LinearArgs{state.normed.view(), layer.v, state.v.view()}},
            .rotate = {state.q.view(), state.k.view(), layer.q_norm.view(), layer.k_norm.view(),
                       1e-6F, layer.cos.view(), layer.sin.view(), kHeadDim},
            .append = {heads(state.k, c.num_kv_heads), heads(state.v, c.num_kv_heads),
                       layer.slots.view(), cache},
            .attention = {.q = heads(state.q, c.num_heads),
                          .cache = cache,
                          .cu_seqlens = layer.cu_seqlens.view(),
                          .context_lens = layer.context_lens.view(),
                          .key_begin = layer.begin.view(),
                          .key_end = layer.end.view(),
                          .block_tables = layer.tables.view(),
                          .max_context_len = layer.max_blocks * kBlockSize,
                          .max_queries = 1,
                          .scale = 0.088388F,
                          .output = heads(state.attn_out, c.num_heads)},
            .output = {.input = state.attn_out.view(),
                       .weight = layer.out,
                       .output = state.residual.view(),
                       .accumulate = true}};
  }

  void expect_near(const Tensor& device, const Tensor& expected, double epsilon) {
    const Tensor got = to_host(device);
    const Tensor want = to_host(expected);
    double norm = 0.0;
    for (const float value : test::floats(want)) norm = std::fmax(norm, std::fabs(value));
    for (std::int64_t i = 0; i < want.view().num_elements(); ++i) {
      ASSERT_NEAR(got.as<float>()[i], want.as<float>()[i], norm * epsilon) << "element " << i;
    }
  }
  void compare(const Case& c, unsigned seed) {
    SCOPED_TRACE(testing::Message() << c.context_lens.size() << " sequences, first context "
                                    << c.context_lens[0] << ", width " << c.hidden_size);
    Random random(seed);
    const auto tokens = std::ssize(c.context_lens);
    const Layer layer = make_layer(c, random);
    const Tensor residual = random.tensor({tokens, c.hidden_size}, 3.0F);
    const Tensor cached =
        random.tensor({tokens * layer.max_blocks * kBlockSize, c.num_kv_heads * kHeadDim});
    State apart = make_state(c, layer, residual, cached);
    const AttentionBlockArgs parts = arguments(c, layer, apart);
    backend_->norm_linears(parts.norm, parts.projections);
    backend_->qk_norm_rope_append(parts.rotate, parts.append);
    backend_->attention(parts.attention);
    backend_->linear(parts.output);
    for (int repeat = 0; repeat < 2; ++repeat) {  // it leaves nothing behind
      State whole = make_state(c, layer, residual, cached);
      backend_->attention_block(arguments(c, layer, whole));
      expect_near(whole.residual, apart.residual, c.format == KvFormat::kF8E4M3 ? 0x1p-6 : 0x1p-9);
      expect_same_cache(whole.keys, apart.keys);
      expect_same_cache(whole.values, apart.values);
    }
  }

  // The parts of the cache that the step must not touch are the same bits, the others nearly.
  void expect_same_cache(const Tensor& device, const Tensor& expected) {
    const Tensor got = to_host(device);
    const Tensor want = to_host(expected);
    const auto* a = static_cast<const unsigned char*>(got.view().data);
    const auto* b = static_cast<const unsigned char*>(want.view().data);
    std::size_t different = 0;
    for (std::size_t i = 0; i < want.view().num_bytes(); ++i) different += a[i] != b[i] ? 1 : 0;
    EXPECT_LE(different, want.view().num_bytes() / 500);
  }
};

// Batches whose heads have six parts to one, with contexts that leave parts and warps without
// keys, of one key to what the kernel takes, and keys at the beginning hidden.
TEST_F(CudaAttentionBlock, AgreesInEveryBatch) {
  std::mt19937 random(71);
  for (const std::size_t sequences : {1, 2, 3, 4, 5, 6, 8, 11, 16}) {
    for (const std::int32_t most : {60, 300, 4064}) {
      if (most > 300 && sequences > 1) continue;
      Case c = {{}, 256, 48, 8};
      for (std::size_t s = 0; s < sequences; ++s) {
        c.context_lens.push_back(static_cast<std::int32_t>(1 + random() % most));
      }
      c.format = random() % 2 == 0 ? KvFormat::kBF16 : KvFormat::kF8E4M3;
      if (random() % 2 == 0) {
        c.begin = static_cast<std::int32_t>(random()) & 63;
        for (std::int32_t& len : c.context_lens) len = std::max(len, c.begin + 1);
      }
      compare(c, static_cast<unsigned>(random()));
    }
  }
}

// One and several sequences, contexts of one key and of more than the warps of all blocks take at
// once, heads that fill a group of eight or not, and some cases that take the parts' own ways.
TEST_F(CudaAttentionBlock, AgreesWithItsParts) {
  const Case cases[] = {
      {{1}, 512, 12, 2},
      {{16}, 512, 12, 2},
      {{17}, 512, 12, 2, KvFormat::kF8E4M3},
      {{900, 1, 33}, 1024, 16, 8},
      {{64, 250, 1030, 7, 128, 16, 15, 5}, 512, 12, 2, KvFormat::kF8E4M3},
      {{5000}, 512, 6, 1},
      {{1057}, 3072, 48, 8},
      {{40, 41, 600, 1, 2, 3, 1500, 99}, 3072, 48, 8},
      {{300, 20}, 512, 4, 2, KvFormat::kBF16, DType::kBF16},
      {{30, 20, 10, 9, 8, 7, 6, 5, 4}, 512, 4, 2},
  };
  unsigned seed = 60;
  for (const Case& c : cases) compare(c, ++seed);
}

}  // namespace
}  // namespace m2
