// What is behind the public cache classes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kv/sequence_blocks.h"
#include "m2/cache.h"
#include "model/forward_plan.h"
#include "model/kv_cache.h"
#include "model/placement.h"
#include "model/quantized_pool.h"

namespace m2 {

struct CacheOptions {
  std::int64_t capacity = -1;  // of a static cache; -1: it grows
  int bits = 0;                // of quantised blocks; 0: everything stays exact
  std::int64_t group_size = 0;
  std::int64_t residual_length = 0;  // tokens at the end that stay exact
  bool one_pass = false;             // of a call without cache: see KvCacheOptions
  bool offloading = false;           // the same
};

/// B rows of blocks of one KvCache. Rows may share blocks; a block is copied before a row writes to
/// one that others hold. In a quantised cache the first blocks of every row are quantised ones.
struct Cache::Impl {
  static constexpr std::int32_t kBlockSize = 32;

  explicit Impl(const CacheOptions& options_in) : options(options_in) {}

  [[nodiscard]] bool is_static() const { return options.capacity >= 0; }
  [[nodiscard]] std::int64_t seq_length() const;
  [[nodiscard]] std::int64_t batch_size() const { return static_cast<std::int64_t>(rows.size()); }
  /// Tokens of a row that `rows` does not hold: those in quantised blocks.
  [[nodiscard]] std::int64_t num_quantized_tokens() const;
  /// Numbers of all blocks of a row, as KvCache takes them.
  [[nodiscard]] std::vector<std::int32_t> blocks_of(std::size_t row) const;

  /// Binds to a model, or checks that this is the one of the calls before. Throws kInvalidArgument
  /// for another batch size than that of the tokens held, or another model.
  void bind(const MiniMaxM2Config& config, const Placement& placement, std::int64_t batch_size);
  /// Makes room for the tokens of a call, in blocks that nobody shares.
  void prepare(const ForwardPlan& plan);
  /// Counts the tokens of a call that has been computed.
  void commit(const ForwardPlan& plan);
  /// Row i becomes the former row from[i].
  void gather_rows(std::span<const std::int64_t> from);
  /// Keeps the first `kept` tokens of a cache that grows.
  void truncate(std::int64_t kept);
  void reset();

  CacheOptions options;
  MiniMaxM2Config config;                      // of the model
  Placement placement;                         // of the model; nothing before bind()
  std::unique_ptr<QuantizedPool> pool;         // of a quantised cache
  std::unique_ptr<KvCache> kv_cache;           // null before bind()
  std::vector<SequenceBlocks> quantized_rows;  // [B] of the pool, or empty
  std::vector<SequenceBlocks> rows;            // [B] of kv_cache, behind the quantised blocks
  std::int64_t length = 0;                     // tokens of every row; growing caches
  std::vector<bool> written;                   // [capacity]; static caches

 private:
  void rebuild(std::int64_t num_rows);
  void ensure_free_blocks(std::int64_t count);
  void make_writable(std::int64_t first, std::int64_t end);
  void quantize_old();
  [[nodiscard]] std::int32_t quantize_block(std::int32_t block);
  void release_memory();
  void make_exact(std::int64_t kept);
};

}  // namespace m2
