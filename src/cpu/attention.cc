#include "ops/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "cpu/context.h"

namespace m2::cpu {
namespace {

constexpr std::int64_t kTileRows = 48;  // eight queries of the model's six heads a group
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

class AttentionCall {
 public:
  AttentionCall(const AttentionArgs& args, Context& context)
      : args_(args),
        context_(context),
        num_kv_heads_(args.key_cache.shape[1]),
        block_size_(args.key_cache.shape[2]),
        head_dim_(args.key_cache.shape[3]),
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
    const auto num_seqs = static_cast<std::int64_t>(args_.context_lens.size());
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
    const std::int64_t keys = visible_keys(tile, tile.num_rows - 1);
    tile.num_chunks = (keys + kAttentionChunk - 1) / kAttentionChunk;
    tile.first_chunk = static_cast<std::int64_t>(context_.chunk_tiles.size());
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
    float* partials = context_.attention_partials.floats(num_chunks * size);
    context_.lanes.run(num_chunks, [&](std::int64_t task, Buffer& scratch) {
      const auto index = context_.chunk_tiles[static_cast<std::size_t>(task)];
      const AttentionTile& tile = context_.tiles[static_cast<std::size_t>(index)];
      attend_chunk(tile, task - tile.first_chunk, Partial(partials + task * size),
                   scratch.floats(room()));
    });
    context_.lanes.run(num_tiles, [&](std::int64_t task, Buffer& scratch) {
      const AttentionTile& tile = context_.tiles[static_cast<std::size_t>(task)];
      const Partial total(scratch.floats(size));
      clear(tile, total);
      for (std::int64_t chunk = 0; chunk < tile.num_chunks; ++chunk) {
        merge(tile, Partial(partials + (tile.first_chunk + chunk) * size), total);
      }
      finish(tile, total);
    });
  }

  void attend_chunk(const AttentionTile& tile, std::int64_t chunk, const Partial& part,
                    float* scratch) {
    const std::int64_t first_key = chunk * kAttentionChunk;
    std::array<const float*, kTileRows> q;
    std::array<std::int32_t, kTileRows> visible;
    for (std::int64_t row = 0; row < tile.num_rows; ++row) {
      q[static_cast<std::size_t>(row)] = args_.q.as<float>() + row_index(tile, row) * head_dim_;
      const std::int64_t keys = visible_keys(tile, row) - first_key;
      visible[static_cast<std::size_t>(row)] =
          static_cast<std::int32_t>(std::clamp<std::int64_t>(keys, 0, kAttentionChunk));
    }
    const std::int64_t num_keys =
        std::min(kAttentionChunk, visible_keys(tile, tile.num_rows - 1) - first_key);
    std::array<const std::uint8_t*, kAttentionChunk> keys;
    std::array<const std::uint8_t*, kAttentionChunk> values;
    for (std::int64_t key = 0; key < num_keys; ++key) {
      const std::int64_t offset = cache_offset(tile, first_key + key);
      keys[static_cast<std::size_t>(key)] =
          static_cast<const std::uint8_t*>(args_.key_cache.data) + offset;
      values[static_cast<std::size_t>(key)] =
          static_cast<const std::uint8_t*>(args_.value_cache.data) + offset;
    }
    context_.kernels.attend({
        .q = q.data(),
        .visible = visible.data(),
        .num_rows = tile.num_rows,
        .head_dim = head_dim_,
        .scale = args_.scale,
        .dtype = args_.key_cache.dtype,
        .keys = keys.data(),
        .values = values.data(),
        .num_keys = num_keys,
        .key_mask = args_.key_mask.empty()
                        ? nullptr
                        : args_.key_mask.data() + tile.sequence * args_.mask_stride + first_key,
        .largest = part.largest,
        .sum = part.sum,
        .output = part.output,
        .scratch = scratch,
    });
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
    const std::int64_t num_keys = args_.context_lens[static_cast<std::size_t>(tile.sequence)];
    const auto* values = static_cast<const std::uint8_t*>(args_.value_cache.data);
    for (std::int64_t key = 0; key < num_keys; ++key) {
      const std::uint8_t* value = values + cache_offset(tile, key);
      for (std::int64_t dim = 0; dim < head_dim_; ++dim) {
        output[dim] += load_float(value, args_.value_cache.dtype, dim);
      }
    }
    for (std::int64_t dim = 0; dim < head_dim_; ++dim) output[dim] /= static_cast<float>(num_keys);
  }

  [[nodiscard]] std::int64_t num_queries(std::int64_t sequence) const {
    const auto s = static_cast<std::size_t>(sequence);
    return args_.cu_seqlens[s + 1] - args_.cu_seqlens[s];
  }

  // How many keys from the first on the row sees.
  [[nodiscard]] std::int64_t visible_keys(const AttentionTile& tile, std::int64_t row) const {
    const std::int64_t query = (tile.first_row + row) / group_;
    return args_.context_lens[static_cast<std::size_t>(tile.sequence)] -
           num_queries(tile.sequence) + query + 1;
  }

  // Which [D] of q and output the row is.
  [[nodiscard]] std::int64_t row_index(const AttentionTile& tile, std::int64_t row) const {
    const std::int64_t index = tile.first_row + row;
    const std::int64_t token =
        args_.cu_seqlens[static_cast<std::size_t>(tile.sequence)] + index / group_;
    return (token * num_kv_heads_ + tile.kv_head) * group_ + index % group_;
  }

  // Bytes from the start of a cache to a key's vector.
  [[nodiscard]] std::int64_t cache_offset(const AttentionTile& tile, std::int64_t key) const {
    const auto entry =
        static_cast<std::size_t>(tile.sequence * args_.max_blocks + key / block_size_);
    const std::int64_t block = args_.block_tables[entry];
    const std::int64_t index =
        (block * num_kv_heads_ + tile.kv_head) * block_size_ + key % block_size_;
    return index * head_dim_ * static_cast<std::int64_t>(dtype_size(args_.key_cache.dtype));
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
  // Probabilities are for study: the plain two-pass reference makes them.
  if (args.probabilities.present()) return reference::attention(args);
  check(args);
  if (args.q.num_elements() == 0) return;
  AttentionCall(args, context).run();
}

}  // namespace m2::cpu
