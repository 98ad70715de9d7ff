// The attention half of a layer of many tokens as one operation, against its parts.
#include "ops/attention_block.h"

#include "cuda/device_cases.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

struct Sequence {
  std::int32_t num_queries;
  std::int32_t context_len;
};

struct Case {
  const char* name;
  std::vector<Sequence> sequences;
  std::int64_t num_heads;
  std::int64_t num_kv_heads;
  std::int64_t rotary_dim;
  KvFormat cache = KvFormat::kBF16;
};

constexpr std::int64_t kHeadDim = 128;
constexpr std::int64_t kHiddenSize = 512;
constexpr std::int64_t kBlockSize = 16;

// Many tokens, where q, k, v and the attention's output stay BF16; a chunk behind a known prefix; a
// chunk beside tokens of other sequences; few tokens.
const Case kCases[] = {{"prompt", {{90, 90}}, 6, 2, 64},
                       {"chunk", {{200, 331}}, 12, 2, 64},
                       {"narrow rotation", {{70, 70}}, 4, 2, 16},
                       {"whole rotation", {{70, 75}}, 4, 4, 128},
                       {"f8 cache", {{90, 140}}, 6, 2, 64, KvFormat::kF8E4M3},
                       {"mixed", {{80, 150}, {1, 77}, {0, 0}, {16, 16}, {17, 40}}, 6, 2, 64},
                       {"few tokens", {{5, 40}, {1, 9}}, 6, 2, 64}};

// The arrays of a batch on the host; a sequence's blocks follow each other.
struct Batch {
  explicit Batch(const Case& c) {
    for (const Sequence& s : c.sequences) {
      max_context_len = std::max<std::int64_t>(max_context_len, s.context_len);
      max_queries = std::max<std::int64_t>(max_queries, s.num_queries);
    }
    max_blocks = (max_context_len + kBlockSize - 1) / kBlockSize;
    for (const Sequence& s : c.sequences) add(s);
  }

  void add(const Sequence& s) {
    const auto first_block = static_cast<std::int64_t>(lens.size()) * max_blocks;
    for (std::int64_t i = 0; i < max_blocks; ++i) {
      tables.push_back(static_cast<std::int32_t>(first_block + i));
    }
    for (std::int32_t i = s.context_len - s.num_queries; i < s.context_len; ++i) {
      begins.push_back(0);
      ends.push_back(i + 1);
      slots.push_back(first_block * kBlockSize + i);
    }
    starts.push_back(starts.back() + s.num_queries);
    lens.push_back(s.context_len);
  }

  [[nodiscard]] std::int64_t num_tokens() const { return starts.back(); }
  [[nodiscard]] std::int64_t num_seqs() const { return std::ssize(lens); }

  std::vector<std::int32_t> starts = {0};
  std::vector<std::int32_t> lens, begins, ends, tables;
  std::vector<std::int64_t> slots;
  std::int64_t max_context_len = 0;
  std::int64_t max_queries = 0;
  std::int64_t max_blocks = 0;
};

class CudaPrefillBlock : public test::DeviceTest {
 protected:
  TensorView keep(Tensor tensor) {
    tensors_.push_back(std::move(tensor));
    return tensors_.back().view();
  }
  TensorView random(const Shape& shape, float scale = 1.0F) {
    return keep(to_device(generator_.tensor(shape, scale).view()));
  }
  TensorView zeros(const Shape& shape) { return keep(backend_->allocate(DType::kF32, shape)); }
  template <typename T>
  TensorView array(const std::vector<T>& values, const Shape& shape) {
    return keep(to_device(test::tensor_of<T>(values, shape).view()));
  }
  LinearArgs product(DType dtype, const TensorView& input, std::int64_t rows) {
    const StoredWeight stored(dtype, rows, input.shape[1], generator_);
    return {
        .input = input, .weight = place(stored.view()), .output = zeros({input.shape[0], rows})};
  }
  // Keys or values that were there before.
  TensorView past(const Shape& shape, KvFormat format) {
    Tensor result(storage_dtype(format), shape);
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      const float x = generator_.normal();
      if (format == KvFormat::kBF16) {
        result.as<bf16>()[i] = to_bf16(x);
      } else {
        result.as<f8e4m3>()[i] = to_f8e4m3(x);
      }
    }
    return keep(to_device(result.view()));
  }

  AttentionBlockArgs make(const Case& c, const Batch& batch, DType dtype) {
    const std::int64_t num_tokens = batch.num_tokens();
    const auto heads = [&](const TensorView& rows, std::int64_t count) {
      return TensorView{rows.data, DType::kF32, {num_tokens, count, kHeadDim}};
    };
    const TensorView residual = random({num_tokens, kHiddenSize}, 3.0F);
    const TensorView normed = zeros(residual.shape);
    const std::int64_t q_width = c.num_heads * kHeadDim;
    const std::int64_t kv_width = c.num_kv_heads * kHeadDim;
    const LinearArgs q = product(dtype, normed, q_width);
    const LinearArgs k = product(dtype, normed, kv_width);
    const LinearArgs v = product(dtype, normed, kv_width);
    LinearArgs output = product(dtype, zeros({num_tokens, q_width}), kHiddenSize);
    output.accumulate = true;
    const Shape blocks = {batch.num_seqs() * batch.max_blocks, c.num_kv_heads, kBlockSize,
                          kHeadDim};
    const KvCacheView cache = {
        .keys = past(blocks, c.cache), .values = past(blocks, c.cache), .format = c.cache};
    return {.norm = {residual, random({kHiddenSize}), 1e-6F, normed},
            .projections = {q, k, v},
            .rotate = {.q = q.output,
                       .k = k.output,
                       .q_weight = random({q_width}),
                       .k_weight = random({kv_width}),
                       .cos = random({num_tokens, c.rotary_dim / 2}),
                       .sin = random({num_tokens, c.rotary_dim / 2}),
                       .head_dim = kHeadDim},
            .append = {.k = heads(k.output, c.num_kv_heads),
                       .v = heads(v.output, c.num_kv_heads),
                       .slot_mapping = array(batch.slots, {num_tokens}),
                       .cache = cache},
            .attention = {.q = heads(q.output, c.num_heads),
                          .cache = cache,
                          .cu_seqlens = array(batch.starts, {batch.num_seqs() + 1}),
                          .context_lens = array(batch.lens, {batch.num_seqs()}),
                          .key_begin = array(batch.begins, {num_tokens}),
                          .key_end = array(batch.ends, {num_tokens}),
                          .block_tables = array(batch.tables, {batch.num_seqs(), batch.max_blocks}),
                          .max_context_len = batch.max_context_len,
                          .max_queries = batch.max_queries,
                          .scale = 0.05F,
                          .output = heads(output.input, c.num_heads)},
            .output = output};
  }

  // ||got - expected|| / ||expected||.
  static double relative_error(const Tensor& got, const Tensor& expected) {
    double error = 0.0;
    double norm = 0.0;
    for (std::int64_t i = 0; i < expected.view().num_elements(); ++i) {
      const double want = number(expected, i);
      error += std::pow(number(got, i) - want, 2);
      norm += want * want;
    }
    return std::sqrt(error / norm);
  }
  static double number(const Tensor& tensor, std::int64_t i) {
    switch (tensor.view().dtype) {
      case DType::kBF16:
        return to_float(tensor.as<bf16>()[i]);
      case DType::kF8E4M3:
        return to_float(tensor.as<f8e4m3>()[i]);
      default:
        return tensor.as<float>()[i];
    }
  }
  Tensor copy(const TensorView& device) {
    Tensor host(device.dtype, device.shape);
    backend_->download(device, host.view());
    return host;
  }

  Random generator_{61};
  std::vector<Tensor> tensors_;
};

TEST_F(CudaPrefillBlock, MatchesItsParts) {
  for (const Case& c : kCases) {
    for (const DType dtype : {DType::kF8E4M3, DType::kBF16}) {
      SCOPED_TRACE(testing::Message() << c.name << " " << dtype_name(dtype));
      const AttentionBlockArgs args = make(c, Batch(c), dtype);
      const TensorView written[] = {args.append.cache.keys, args.append.cache.values,
                                    args.output.output};
      std::vector<Tensor> before;
      for (const TensorView& tensor : written) before.push_back(copy(tensor));
      backend_->attention_block(args);
      std::vector<Tensor> fused;
      for (std::size_t i = 0; i < before.size(); ++i) {
        fused.push_back(copy(written[i]));
        backend_->upload(before[i].view(), written[i]);
      }
      backend_->Backend::attention_block(args);  // the parts one by one
      // Projections of many tokens become BF16 before their norm, the attention's output before its
      // product: then F8 numbers may take their other neighbour.
      const bool f8 = dtype == DType::kF8E4M3 || c.cache == KvFormat::kF8E4M3;
      for (std::size_t i = 0; i < before.size(); ++i) {
        EXPECT_LE(relative_error(fused[i], copy(written[i])), f8 ? 0x1p-5 : 0x1p-7)
            << "keys, values, output: " << i;
      }
      tensors_.clear();
    }
  }
}

}  // namespace
}  // namespace m2
