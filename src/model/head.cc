#include "model/head.h"

#include <algorithm>
#include <functional>

#include "base/error.h"

namespace m2 {
namespace {

TensorView first(const Tensor& buffer, const Shape& shape) {
  return {buffer.view().data, buffer.view().dtype, shape};
}

// One half of [2, rows, K], as another type of four bytes.
TensorView half(const TensorView& top, std::int64_t index, DType dtype) {
  const Shape shape = {top.shape[1], top.shape[2]};
  return {top.as<float>() + index * shape.num_elements(), dtype, shape};
}

}  // namespace

void Head::plan(std::int64_t count, Backend& backend) {
  if (count <= (logits_.present() ? logits_.shape()[0] : 0)) return;
  const Shape top = {2, count, std::min(kNumTop, weight_.rows)};
  input_ = backend.allocate(DType::kF32, {count, weight_.cols});
  logits_ = backend.allocate(DType::kF32, {count, weight_.rows});
  top_ = backend.allocate(DType::kF32, top);
  if (backend.host_accessible()) return;
  host_ = {};
  host_top_ = Tensor(DType::kF32, top);
}

Head::Call Head::prepare(const TensorView& hidden_states, std::span<const std::int32_t> rows,
                         Backend& backend) {
  const auto count = static_cast<std::int64_t>(rows.size());
  plan(count, backend);
  const WeightView table = {.data = hidden_states.data,
                            .dtype = DType::kF32,
                            .rows = hidden_states.shape[0],
                            .cols = hidden_states.shape[1]};
  load(rows, backend);
  return {table, device_rows_, count};
}

// A decode step's rows are those of the step before, and there already.
void Head::load(std::span<const std::int32_t> rows, Backend& backend) {
  if (device_rows_.present() && std::ranges::equal(rows, rows_)) return;
  device_rows_ = {};
  rows_.assign(rows.begin(), rows.end());
  const std::span<const std::int32_t> values = rows_;
  device_rows_ = rows_buffer_.load(view_of(values, {std::ssize(values)}), backend);
}

// The rows of the hidden states are gathered as rows of an embedding table are.
void Head::multiply(const Call& call, Backend& backend) {
  const TensorView input = first(input_, {call.count, weight_.cols});
  backend.embedding({call.rows, call.hidden_states, input});
  backend.linear(
      {.input = input, .weight = weight_, .output = first(logits_, {call.count, weight_.rows})});
}

TensorView Head::to_host(const TensorView& device, const Tensor& host, Backend& backend) const {
  if (backend.host_accessible()) {
    backend.synchronize();
    return device;
  }
  const TensorView copy = first(host, device.shape);
  backend.download(device, copy);
  return copy;
}

TensorView Head::all(const TensorView& hidden_states, std::span<const std::int32_t> rows,
                     Backend& backend) {
  const Call call = prepare(hidden_states, rows, backend);
  multiply(call, backend);
  if (!backend.host_accessible() && (!host_.present() || host_.shape() != logits_.shape())) {
    host_ = Tensor(DType::kF32, logits_.shape());
  }
  return to_host(first(logits_, {call.count, weight_.rows}), host_, backend);
}

TopLogits Head::top(const TensorView& hidden_states, std::span<const std::int32_t> rows,
                    Backend& backend) {
  const Call call = prepare(hidden_states, rows, backend);
  const TensorView top = first(top_, {2, call.count, top_.shape()[2]});
  find_key(call);
  const auto work = [&] {
    multiply(call, backend);
    backend.top_scores({.scores = first(logits_, {call.count, weight_.rows}),
                        .top_ids = half(top, 0, DType::kI32),
                        .top_scores = half(top, 1, DType::kF32)});
  };
  backend.run_step(key_, std::ref(work));
  const TensorView host = to_host(top, host_top_, backend);
  return {half(host, 0, DType::kI32), half(host, 1, DType::kF32)};
}

// All that the operations are called with. The capacity stands for the addresses of all of this
// object's memory: it only grows, while an address may come again.
void Head::find_key(const Call& call) {
  key_.clear();
  for (const std::int64_t number : {id_, logits_.shape()[0], call.count, call.hidden_states.rows}) {
    key_.push_back(static_cast<std::uint64_t>(number));
  }
  for (const void* data : {call.hidden_states.data, static_cast<const void*>(call.rows.data)}) {
    key_.push_back(reinterpret_cast<std::uintptr_t>(data));
  }
}

TensorView Head::row(std::int64_t index, Backend& backend) {
  M2_CHECK(logits_.present() && index >= 0 && index < logits_.shape()[0], "logits of row ", index);
  const TensorView device = {
      logits_.as<float>() + index * weight_.rows, DType::kF32, {weight_.rows}};
  if (!backend.host_accessible() && !host_.present()) {
    host_ = Tensor(DType::kF32, {1, weight_.rows});
  }
  return to_host(device, host_, backend);
}

}  // namespace m2
