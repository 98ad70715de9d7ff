// The arrays of a batch in the memory of a backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "model/batch.h"
#include "ops/backend.h"

namespace m2 {

/// Room in a backend's memory that is filled from the host again and again and only grows. On a
/// host-accessible backend nothing is copied.
class UploadBuffer {
 public:
  /// `host` itself, or its copy in the buffer: valid until the next load().
  TensorView load(const TensorView& host, Backend& backend);

 private:
  Tensor memory_;  // [bytes] u8
};

/// A view of an array that operations only read.
template <typename T>
[[nodiscard]] TensorView view_of(std::span<const T> values, const Shape& shape) {
  return {const_cast<T*>(values.data()), DTypeOf<T>::kValue, shape};
}

/// What the operations read of a batch, uploaded at once for a forward pass. The batch and the
/// rotation must live unchanged as long as the views are used.
class DeviceBatch {
 public:
  /// Gives the views their places; what they show is there after upload().
  void load(const Batch& batch, const TensorView& rotation_cos, const TensorView& rotation_sin,
            Backend& backend);
  /// A copy that may be recorded: from and to the same places as long as what key() adds is equal.
  void upload(Backend& backend) const;
  void add_key(std::vector<std::uint64_t>& key) const;

  TensorView token_ids;     // [T] i32, absent with embeddings
  TensorView slot_mapping;  // [T] i64
  TensorView cu_seqlens;    // [S + 1] i32
  TensorView context_lens;  // [S] i32
  TensorView key_begin;     // [T] i32
  TensorView key_end;       // [T] i32
  TensorView block_tables;  // [S, max_blocks] i32
  TensorView cos;           // [T, R / 2] f32
  TensorView sin;           // [T, R / 2] f32
  TensorView key_mask;      // [S, max_context_len] u8, or absent

 private:
  void pack(Backend& backend);

  std::vector<std::byte> packed_;  // all arrays, on the host; absent where that memory is used
  Tensor buffer_;                  // [bytes] u8, as many or more
};

}  // namespace m2
