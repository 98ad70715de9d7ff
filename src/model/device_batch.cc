#include "model/device_batch.h"

#include <algorithm>

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

void DeviceBatch::load(const Batch& batch, Backend& backend) {
  const auto array = [&]<typename T>(UploadBuffer& buffer, const std::vector<T>& values,
                                     const Shape& shape) {
    return buffer.load(view_of(std::span<const T>(values), shape), backend);
  };
  const std::int64_t num_tokens = batch.num_tokens();
  const std::int64_t num_seqs = batch.num_seqs();
  const auto num_ids = static_cast<std::int64_t>(batch.token_ids.size());
  token_ids = array(buffers_.token_ids, batch.token_ids, {num_ids});
  slot_mapping = array(buffers_.slot_mapping, batch.slot_mapping, {num_tokens});
  cu_seqlens = array(buffers_.cu_seqlens, batch.cu_seqlens, {num_seqs + 1});
  context_lens = array(buffers_.context_lens, batch.context_lens, {num_seqs});
  key_begin = array(buffers_.key_begin, batch.key_begin, {num_tokens});
  key_end = array(buffers_.key_end, batch.key_end, {num_tokens});
  block_tables = array(buffers_.block_tables, batch.block_tables, {num_seqs, batch.max_blocks});
  key_mask = {};
  if (!batch.key_mask.empty()) {
    key_mask = array(buffers_.key_mask, batch.key_mask, {num_seqs, batch.max_context_len});
  }
}

}  // namespace m2
