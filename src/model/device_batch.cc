#include "model/device_batch.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace m2 {

TensorView UploadBuffer::load(const TensorView& host, Backend& backend) {
  // An absent tensor counts one element, as every scalar does.
  if (backend.host_accessible() || !host.present() || host.num_elements() == 0) return host;
  const auto bytes = static_cast<std::int64_t>(host.num_bytes());
  const std::int64_t room = memory_.present() ? memory_.shape()[0] : 0;
  if (bytes > room) {
    memory_ = Tensor();  // releases before it allocates
    memory_ = backend.allocate(DType::kU8, {std::max(bytes, 2 * room)});
  }
  const TensorView device = {memory_.view().data, host.dtype, host.shape};
  backend.upload(host, device);
  return device;
}

// On a host-accessible backend the arrays themselves, else copies side by side.
void DeviceBatch::load(const Batch& batch, const TensorView& rotation_cos,
                       const TensorView& rotation_sin, Backend& backend) {
  const std::int64_t num_tokens = batch.num_tokens();
  const std::int64_t num_seqs = batch.num_seqs();
  const auto view = []<typename T>(const std::vector<T>& values, const Shape& shape) {
    return view_of(std::span<const T>(values), shape);
  };
  token_ids = view(batch.token_ids, {static_cast<std::int64_t>(batch.token_ids.size())});
  slot_mapping = view(batch.slot_mapping, {num_tokens});
  cu_seqlens = view(batch.cu_seqlens, {num_seqs + 1});
  context_lens = view(batch.context_lens, {num_seqs});
  key_begin = view(batch.key_begin, {num_tokens});
  key_end = view(batch.key_end, {num_tokens});
  block_tables = view(batch.block_tables, {num_seqs, batch.max_blocks});
  cos = rotation_cos;
  sin = rotation_sin;
  key_mask = {};
  if (!batch.key_mask.empty()) key_mask = view(batch.key_mask, {num_seqs, batch.max_context_len});
  if (!backend.host_accessible()) pack(backend);
}

void DeviceBatch::pack(Backend& backend) {
  constexpr std::size_t kAlignment = 16;
  TensorView* const arrays[] = {&token_ids, &slot_mapping, &cu_seqlens, &context_lens, &key_begin,
                                &key_end,   &block_tables, &cos,        &sin,          &key_mask};
  const auto for_each = [&](const auto& use) {
    std::size_t offset = 0;
    for (TensorView* array : arrays) {
      if (!array->present()) continue;
      use(*array, offset);
      offset += (array->num_bytes() + kAlignment - 1) / kAlignment * kAlignment;
    }
    return offset;
  };
  packed_.resize(for_each([](TensorView&, std::size_t) {}));
  for_each([&](const TensorView& array, std::size_t offset) {
    if (array.num_bytes() > 0) std::memcpy(packed_.data() + offset, array.data, array.num_bytes());
  });
  const auto size = static_cast<std::int64_t>(packed_.size());
  const std::int64_t room = buffer_.present() ? buffer_.shape()[0] : 0;
  if (size > room) {
    buffer_ = Tensor();  // releases before it allocates
    buffer_ = backend.allocate(DType::kU8, {std::max(size, 2 * room)});
  }
  for_each([&](TensorView& array, std::size_t offset) {
    array.data = buffer_.as<std::uint8_t>() + offset;
  });
}

void DeviceBatch::upload(Backend& backend) const {
  if (packed_.empty()) return;
  const Shape shape = {static_cast<std::int64_t>(packed_.size())};
  const TensorView host = {const_cast<std::byte*>(packed_.data()), DType::kU8, shape};
  backend.upload(host, {buffer_.view().data, DType::kU8, shape});
}

void DeviceBatch::add_key(std::vector<std::uint64_t>& key) const {
  key.push_back(reinterpret_cast<std::uintptr_t>(packed_.data()));
  key.push_back(packed_.size());
  key.push_back(reinterpret_cast<std::uintptr_t>(token_ids.data));  // the other arrays follow it
}

}  // namespace m2
