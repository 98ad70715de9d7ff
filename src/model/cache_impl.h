// What is behind the public cache classes.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kv/sequence_blocks.h"
#include "m2/cache.h"
#include "model/forward_plan.h"
#include "model/kv_cache.h"
#include "model/placement.h"

namespace m2 {

struct CacheOptions {
  std::int64_t capacity = -1;  // of a static cache; -1: it grows
  KvFormat format = KvFormat::kF32;
};

/// B rows of blocks of one KvCache. Rows may share blocks; a block is copied before a row writes to
/// one that others hold.
struct Cache::Impl {
  explicit Impl(const CacheOptions& options_in) : options(options_in) {}

  [[nodiscard]] bool is_static() const { return options.capacity >= 0; }
  [[nodiscard]] std::int64_t seq_length() const;
  [[nodiscard]] std::int64_t batch_size() const { return static_cast<std::int64_t>(rows.size()); }

  /// Binds to a model, or checks that this is the one of the calls before. Throws kInvalidArgument
  /// for another batch size than that of the tokens held, or another model.
  void bind(const MiniMaxM2Config& config, const Placement& placement, std::int64_t batch_size);
  /// Makes room for the tokens of a call, in blocks that nobody shares.
  void prepare(const ForwardPlan& plan);
  /// Counts the tokens of a call that has been computed.
  void commit(const ForwardPlan& plan);
  /// Row i becomes the former row from[i].
  void gather_rows(std::span<const std::int64_t> from);
  void reset();

  CacheOptions options;
  MiniMaxM2Config config;             // of the model
  Placement placement;                // of the model; nothing before bind()
  std::unique_ptr<KvCache> kv_cache;  // null before bind()
  std::vector<SequenceBlocks> rows;   // [B]
  std::int64_t length = 0;            // tokens of every row; growing caches
  std::vector<bool> written;          // [capacity]; static caches

 private:
  void rebuild(std::int64_t num_rows);
  void ensure_free_blocks(std::int64_t count);
  void make_writable(std::int64_t first, std::int64_t end);
};

}  // namespace m2
