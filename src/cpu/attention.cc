#include "ops/attention.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "base/error.h"
#include "cpu/context.h"

namespace m2::cpu {
namespace {

constexpr std::int64_t kTileRows = 96;  // sixteen queries of the model's six heads a group
constexpr float kNoKey = -std::numeric_limits<float>::infinity();

// Unnormalised softmax sums of the rows of a tile over some keys.
struct Partial {
  float* largest;  // [num_rows]
  float* sum;      // [num_rows]
  float* output;   // [num_rows, D]

  static std::int64_t size(std::int64_t head_dim) { return kTileRows * (2 + head_dim); }
  explicit Partial(float* memory)
      : largest(memory), sum(memory + kTileRows), output(memory + 2 * kTileRows) {}
};

struct KeyRange {
  std::int64_t begin;
  std::int64_t end;
};

class AttentionCall {
 public:
  AttentionCall(const AttentionArgs& args, Context& context)
      : args_(args),
        context_(context),
        num_kv_heads_(args.cache.num_kv_heads()),
        block_size_(args.cache.block_size()),
        head_dim_(args.cache.head_dim()),
        group_(args.q.shape[1] / num_kv_heads_) {}

  void run() {
    list_tiles();
    // Decode of few sequences: the chunks of a long context give the parallelism. Both ways do the
    // same arithmetic in the same order.
    const auto num_tiles = static_cast<std::int64_t>(context_.tiles.size());
    if (num_tiles >= std::int64_t{2} * context_.lanes.num_threads()) {
      run_tiles(num_tiles);
    } else {
      run_chunks(num_tiles);
    }
  }

 private:
  void list_tiles() {
    context_.tiles.clear();
    context_.chunk_tiles.clear();
    const auto num_seqs = args_.context_lens.shape[0];
    for (std::int64_t sequence = 0; sequence < num_seqs; ++sequence) {
      const std::int64_t num_rows = num_queries(sequence) * group_;
      for (std::int64_t kv_head = 0; kv_head < num_kv_heads_; ++kv_head) {
        for (std::int64_t row = 0; row < num_rows; row += kTileRows) {
          add_tile({.sequence = sequence,
                    .kv_head = kv_head,
                    .first_row = row,
                    .num_rows = std::min(kTileRows, num_rows - row)});
        }
      }
    }
  }

  void add_tile(AttentionTile tile) {
    tile.begin_key = args_.max_context_len;
    for (std::int64_t row = 0; row < tile.num_rows; ++row) {
      const KeyRange keys = visible_keys(tile, row);
      if (keys.begin >= keys.end) continue;
      tile.begin_key = std::min(tile.begin_key, keys.begin);
      tile.end_key = std::max(tile.end_key, keys.end);
    }
    if (tile.begin_key < tile.end_key) {
      tile.num_chunks = (tile.end_key - 1) / kAttentionChunk - first_chunk(tile) + 1;
    }
    tile.first_pair = static_cast<std::int64_t>(context_.chunk_tiles.size());
    const auto index = static_cast<std::int64_t>(context_.tiles.size());
    context_.chunk_tiles.insert(context_.chunk_tiles.end(),
                                static_cast<std::size_t>(tile.num_chunks), index);
    context_.tiles.push_back(tile);
  }

  void run_tiles(std::int64_t num_tiles) {
    context_.lanes.run(num_tiles, [&](std::int64_t task, Buffer& scratch) {
      const AttentionTile& tile = context_.tiles[static_cast<std::size_t>(task)];
      float* memory = scratch.floats(room() + 2 * Partial::size(head_dim_));
      const Partial total(memory + room());
      const Partial part(memory + room() + Partial::size(head_dim_));
      clear(tile, total);
      for (std::int64_t chunk = 0; chunk < tile.num_chunks; ++chunk) {
        attend_chunk(tile, chunk, part, memory);
        merge(tile, part, total);
      }
      finish(tile, total);
    });
  }

  void run_chunks(std::int64_t num_tiles) {
    const auto num_chunks = static_cast<std::int64_t>(context_.chunk_tiles.size());
    const std::int64_t size = Partial::size(head_dim_);
    // A context that grows needs another chunk now and then; most of the time there is room.
    const auto room_for = std::bit_ceil(static_cast<std::uint64_t>(num_chunks));
    float* partials =
        context_.attention_partials.floats(static_cast<std::int64_t>(room_for) * size);
    context_.lanes.run(num_chunks, [&](std::int64_t task, Buffer& scratch) {
      const auto index = context_.chunk_tiles[static_cast<std::size_t>(task)];
      const AttentionTile& tile = context_.tiles[static_cast<std::size_t>(index)];
      attend_chunk(tile, task - tile.first_pair, Partial(partials + task * size),
                   scratch.floats(room()));
    });
    context_.lanes.run(num_tiles, [&](std::int64_t task, Buffer& scratch) {
      const AttentionTile& tile = context_.tiles[static_cast<std::size_t>(task)];
      const Partial total(scratch.floats(size));
      clear(tile, total);
      for (std::int64_t chunk = 0; chunk < tile.num_chunks; ++chunk) {
        merge(tile, Partial(partials + (tile.first_pair + chunk) * size), total);
      }
      finish(tile, total);
    });
  }

  // The chunk counts from the tile's first one.
  void attend_chunk(const AttentionTile& tile, std::int64_t chunk, const Partial& part,
                    float* scratch) {
    const std::int64_t origin = (first_chunk(tile) + chunk) * kAttentionChunk;
    AttendArgs call = {.num_rows = tile.num_rows,
                       .head_dim = head_dim_,
                       .scale = args_.scale,
                       .dtype = args_.cache.keys.dtype,
                       .first_key = std::max<std::int64_t>(tile.begin_key - origin, 0),
                       .end_key = std::min(tile.end_key - origin, kAttentionChunk),
                       .largest = part.largest,
                       .sum = part.sum,
                       .output = part.output,
                       .scratch = scratch};
    if (args_.key_mask.present()) {
      call.key_mask =
          args_.key_mask.as<std::uint8_t>() + tile.sequence * args_.key_mask.shape[1] + origin;
    }
    ChunkRows rows;
    ChunkKeys keys;
    fill_rows(tile, origin, rows, call);
    fill_keys(tile, origin, keys, call);
    context_.kernels.attend(call);
  }

  // Pointers of a chunk's query rows.
  struct ChunkRows {
    std::array<const float*, kTileRows> q;
    std::array<std::int32_t, kTileRows> begin;
    std::array<std::int32_t, kTileRows> end;
    std::array<const std::uint8_t*, kTileRows> masks;
    std::array<const float*, kTileRows> biases;
  };

  void fill_rows(const AttentionTile& tile, std::int64_t origin, ChunkRows& rows,
                 AttendArgs& call) const {
    const bool masked = args_.mask.present();
    const bool additive = args_.mask.dtype == DType::kF32;
    for (std::int64_t row = 0; row < tile.num_rows; ++row) {
      const auto i = static_cast<std::size_t>(row);
      rows.q[i] = args_.q.as<float>() + row_index(tile, row) * head_dim_;
      const KeyRange keys = visible_keys(tile, row);
      rows.begin[i] = in_chunk(keys.begin - origin);
      rows.end[i] = in_chunk(keys.end - origin);
      if (rows.begin[i] >= rows.end[i]) rows.begin[i] = rows.end[i] = 0;
      if (!masked) continue;
      const std::int64_t first = mask_row(tile, row) * args_.mask.shape[3] + origin;
      if (additive) {
        rows.biases[i] = args_.mask.as<float>() + first;
      } else {
        rows.masks[i] = static_cast<const std::uint8_t*>(args_.mask.data) + first;
      }
    }
    call.q = rows.q.data();
    call.begin = rows.begin.data();
    call.end = rows.end.data();
    if (masked && additive) call.biases = rows.biases.data();
    if (masked && !additive) call.row_masks = rows.masks.data();
  }

  // Pointers of a chunk's keys.
  struct ChunkKeys {
    std::array<const std::uint8_t*, kAttentionChunk> keys;
    std::array<const std::uint8_t*, kAttentionChunk> values;
    std::array<const float*, kAttentionChunk> key_groups;
    std::array<const float*, kAttentionChunk> value_groups;
  };

  void fill_keys(const AttentionTile& tile, std::int64_t origin, ChunkKeys& keys,
                 AttendArgs& call) const {
    bool any_codes = false;
    for (std::int64_t key = call.first_key; key < call.end_key;) {
      const std::int64_t offset = (origin + key) % block_size_;
      const std::int64_t count = std::min(block_size_ - offset, call.end_key - key);
      const std::int64_t block = block_of(tile, origin + key);
      const bool codes = args_.cache.has_codes(block);
      const std::int64_t row = row_of(tile, block % kFirstQuantizedBlock, offset);
      fill_block(codes, row, static_cast<std::size_t>(key), static_cast<std::size_t>(count), keys);
      any_codes = any_codes || codes;
      key += count;
    }
    call.keys = keys.keys.data();
    call.values = keys.values.data();
    if (!any_codes) return;
    call.key_groups = keys.key_groups.data();
    call.value_groups = keys.value_groups.data();
    call.bits = args_.cache.quantized.bits;
    call.group_size = args_.cache.quantized.group_size;
  }

  // Of `count` keys from `first` on, neighbours in a block from its vector `row` on.
  void fill_block(bool codes, std::int64_t row, std::size_t first, std::size_t count,
                  ChunkKeys& keys) const {
    const QuantizedBlocksView& quantized = args_.cache.quantized;
    const TensorView& all_keys = codes ? quantized.keys : args_.cache.keys;
    const TensorView& all_values = codes ? quantized.values : args_.cache.values;
    const std::uint8_t* key = vector(all_keys, row);
    const std::uint8_t* value = vector(all_values, row);
    const std::int64_t key_bytes = vector_bytes(all_keys);
    const std::int64_t value_bytes = vector_bytes(all_values);
    for (std::size_t i = first; i < first + count; ++i) {
      keys.keys[i] = key;
      keys.values[i] = value;
      key += key_bytes;
      value += value_bytes;
    }
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t at = row + static_cast<std::int64_t>(i);
      keys.key_groups[first + i] = codes ? groups(quantized.key_groups, at) : nullptr;
      keys.value_groups[first + i] = codes ? groups(quantized.value_groups, at) : nullptr;
    }
  }

  void clear(const AttentionTile& tile, const Partial& total) const {
    std::fill_n(total.largest, tile.num_rows, kNoKey);
    std::fill_n(total.sum, tile.num_rows, 0.0F);
    std::fill_n(total.output, tile.num_rows * head_dim_, 0.0F);
  }

  void merge(const AttentionTile& tile, const Partial& part, const Partial& total) const {
    for (std::int64_t row = 0; row < tile.num_rows; ++row) {
      if (part.largest[row] == kNoKey) continue;
      const float largest = std::max(total.largest[row], part.largest[row]);
      const float keep = std::exp(total.largest[row] - largest);
      const float take = std::exp(part.largest[row] - largest);
      total.largest[row] = largest;
      total.sum[row] = total.sum[row] * keep + part.sum[row] * take;
      float* to = total.output + row * head_dim_;
      const float* from = part.output + row * head_dim_;
      for (std::int64_t dim = 0; dim < head_dim_; ++dim)
        to[dim] = to[dim] * keep + from[dim] * take;
    }
  }

  void finish(const AttentionTile& tile, const Partial& total) const {
    for (std::int64_t row = 0; row < tile.num_rows; ++row) {
      float* output = args_.output.as<float>() + row_index(tile, row) * head_dim_;
      if (total.largest[row] == kNoKey) {
        fully_masked(tile, output);
        continue;
      }
      const float factor = 1.0F / total.sum[row];
      const float* from = total.output + row * head_dim_;
      for (std::int64_t dim = 0; dim < head_dim_; ++dim) output[dim] = from[dim] * factor;
    }
  }

  void fully_masked(const AttentionTile& tile, float* output) const {
    std::fill_n(output, head_dim_, 0.0F);
    if (args_.fully_masked == FullyMasked::kZero) return;
    const std::int64_t num_keys = args_.context_lens.as<std::int32_t>()[tile.sequence];
    if (num_keys == 0) return;
    std::vector<float> value(static_cast<std::size_t>(head_dim_));
    for (std::int64_t key = 0; key < num_keys; ++key) {
      load_vector(args_.cache, KvPart::kValues,
                  {block_of(tile, key), tile.kv_head, key % block_size_}, value);
      for (std::size_t dim = 0; dim < value.size(); ++dim) output[dim] += value[dim];
    }
    for (std::int64_t dim = 0; dim < head_dim_; ++dim) output[dim] /= static_cast<float>(num_keys);
  }

  [[nodiscard]] std::int64_t num_queries(std::int64_t sequence) const {
    const auto* cu_seqlens = args_.cu_seqlens.as<std::int32_t>();
    return cu_seqlens[sequence + 1] - cu_seqlens[sequence];
  }

  // The query of its sequence that the row belongs to.
  [[nodiscard]] std::int64_t query_of(const AttentionTile& tile, std::int64_t row) const {
    return (tile.first_row + row) / group_;
  }

  [[nodiscard]] std::int64_t token_of(const AttentionTile& tile, std::int64_t row) const {
    return args_.cu_seqlens.as<std::int32_t>()[tile.sequence] + query_of(tile, row);
  }

  [[nodiscard]] KeyRange visible_keys(const AttentionTile& tile, std::int64_t row) const {
    const std::int64_t token = token_of(tile, row);
    const KeyRange keys = {args_.key_begin.as<std::int32_t>()[token],
                           args_.key_end.as<std::int32_t>()[token]};
    M2_DCHECK(keys.begin >= 0 && keys.end <= args_.context_lens.as<std::int32_t>()[tile.sequence],
              "attention: token ", token, " sees keys up to ", keys.end);
    return keys;
  }

  [[nodiscard]] static std::int64_t first_chunk(const AttentionTile& tile) {
    return tile.begin_key / kAttentionChunk;
  }

  [[nodiscard]] static std::int32_t in_chunk(std::int64_t key) {
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(key, 0, kAttentionChunk));
  }

  // Which [C] of the 4-D mask the row has.
  [[nodiscard]] std::int64_t mask_row(const AttentionTile& tile, std::int64_t row) const {
    const Shape& shape = args_.mask.shape;
    const std::int64_t head = tile.kv_head * group_ + (tile.first_row + row) % group_;
    const std::int64_t s = shape[0] == 1 ? 0 : tile.sequence;
    return (s * shape[1] + (shape[1] == 1 ? 0 : head)) * shape[2] + query_of(tile, row);
  }

  // Which [D] of q and output the row is.
  [[nodiscard]] std::int64_t row_index(const AttentionTile& tile, std::int64_t row) const {
    const std::int64_t head = tile.kv_head * group_ + (tile.first_row + row) % group_;
    return token_of(tile, row) * args_.q.shape[1] + head;
  }

  [[nodiscard]] std::int64_t block_of(const AttentionTile& tile, std::int64_t key) const {
    const std::int64_t entry = tile.sequence * args_.block_tables.shape[1] + key / block_size_;
    const std::int64_t block = args_.block_tables.as<std::int32_t>()[entry];
    M2_DCHECK(block >= 0 && (block < args_.cache.num_blocks() || block >= kFirstQuantizedBlock),
              "attention: block ", block, " is outside keys ", args_.cache.keys.shape);
    return block;
  }

  // Which vector of all of a layer's blocks a token has.
  [[nodiscard]] std::int64_t row_of(const AttentionTile& tile, std::int64_t block,
                                    std::int64_t offset) const {
    return (block * num_kv_heads_ + tile.kv_head) * block_size_ + offset;
  }

  [[nodiscard]] static std::int64_t vector_bytes(const TensorView& blocks) {
    return blocks.shape[3] * static_cast<std::int64_t>(dtype_size(blocks.dtype));
  }

  [[nodiscard]] static const std::uint8_t* vector(const TensorView& blocks, std::int64_t row) {
    return static_cast<const std::uint8_t*>(blocks.data) + row * vector_bytes(blocks);
  }

  [[nodiscard]] static const float* groups(const TensorView& all, std::int64_t row) {
    return all.as<float>() + row * all.shape[3] * 2;
  }

  [[nodiscard]] std::int64_t room() const { return attend_scratch(kTileRows, head_dim_); }

  const AttentionArgs& args_;
  Context& context_;
  std::int64_t num_kv_heads_;
  std::int64_t block_size_;
  std::int64_t head_dim_;
  std::int64_t group_;  // query heads of a KV head
};

}  // namespace

void attention(const AttentionArgs& args, Context& context) {
  // For study and training: the plain two-pass reference makes probabilities.
  if (args.probabilities.present() || args.dropout > 0.0F) return reference::attention(args);
  check(args);
  if (args.q.num_elements() == 0) return;
  AttentionCall(args, context).run();
}

}  // namespace m2::cpu
