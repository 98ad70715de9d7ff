// The key-value cache that a caller holds between forward calls.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "m2/tensor.h"

namespace m2 {

/// Keys and values of every layer for B rows of tokens. The first forward call that gets a cache
/// binds it to the model: batch size, device and shapes are fixed from then until reset(). Cheap to
/// make before. Every row holds the same number of tokens (padding included).
///
/// Methods throw kInvalidArgument for indices out of range, kUnsupported for what a kind of cache
/// cannot do. One thread at a time.
class Cache {
 public:
  virtual ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  /// Tokens in the cache; for a static cache the number of slots written so far.
  [[nodiscard]] std::int64_t get_seq_length() const;
  /// The capacity in tokens; -1 when it grows.
  [[nodiscard]] std::int64_t get_max_cache_shape() const;
  /// B; 0 before the first use.
  [[nodiscard]] std::int64_t batch_size() const;
  [[nodiscard]] std::int64_t num_layers() const;

  /// Keeps the first `length` tokens; a negative length drops that many from the end. Nothing
  /// happens when the cache is already shorter. Not for static caches.
  void crop(std::int64_t length);
  /// Row i becomes the former row rows[i]; beam search follows its beams with it. As many as B.
  void reorder_cache(std::span<const std::int64_t> rows);
  /// Every row `repeats` times, next to each other.
  void batch_repeat_interleave(std::int64_t repeats);
  /// Keeps the rows of these indices, in this order.
  void batch_select_indices(std::span<const std::int64_t> rows);
  /// Forgets all tokens; memory and binding stay.
  void reset();

  /// Copies of what a layer holds, [B, Nkv, length, D] f32 (dequantised); length is
  /// get_seq_length(), for a static cache its capacity.
  [[nodiscard]] Tensor keys(std::int64_t layer) const;
  [[nodiscard]] Tensor values(std::int64_t layer) const;

  struct Impl;
  /// For the library itself.
  [[nodiscard]] Impl& impl() const { return *impl_; }

 protected:
  explicit Cache(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

/// Grows with its tokens. With `offloading` keys and values lie in the host's memory, and a device
/// keeps room for one layer at a time: slower, for contexts that do not fit. Layers that run in the
/// host's memory have theirs there anyway, and nothing is moved.
class DynamicCache final : public Cache {
 public:
  explicit DynamicCache(bool offloading = false);
};

/// Room for max_cache_len tokens, all of which attention sees under the causal rule; a forward call
/// writes at its cache_position. `offloading` as in DynamicCache. Throws kInvalidArgument unless
/// max_cache_len > 0.
class StaticCache final : public Cache {
 public:
  explicit StaticCache(std::int64_t max_cache_len, bool offloading = false);
};

/// Grows; keys and values are stored with 8 or 4 bits in groups along D, each with its own scale
/// and offset, except the last residual_length tokens, which stay exact. The reference quantises
/// through other libraries (quanto, HQQ) whose numbers differ.
class QuantizedCache final : public Cache {
 public:
  explicit QuantizedCache(int nbits = 4, std::int64_t q_group_size = 64,
                          std::int64_t residual_length = 128);
};

}  // namespace m2
