#include "model/head.h"

#include <algorithm>

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

// The capacity stands for the addresses of all of this object's memory: it only grows, while an
// address may come again.
void Head::plan(std::int64_t count, Backend& backend, std::vector<std::uint64_t>& key) {
  plan(count, backend);
  key.push_back(static_cast<std::uint64_t>(logits_.shape()[0]));
  key.push_back(static_cast<std::uint64_t>(count));
}

TensorView Head::first_logits(std::int64_t count) const {
  return first(logits_, {count, weight_.rows});
}

// The rows of the hidden states are gathered as rows of an embedding table are.
void Head::multiply(const TensorView& hidden_states, std::span<const std::int32_t> rows,
                    Backend& backend) {
  const auto count = static_cast<std::int64_t>(rows.size());
  const WeightView table = {.data = hidden_states.data,
                            .dtype = DType::kF32,
                            .rows = hidden_states.shape[0],
                            .cols = hidden_states.shape[1]};
  const TensorView input = first(input_, {count, weight_.cols});
  backend.embedding({rows_.load(view_of(rows, {count}), backend), table, input});
  backend.linear({.input = input, .weight = weight_, .output = first_logits(count)});
}

// On the way to the host, where that has memory of its own.
void Head::choose(std::int64_t count, Backend& backend) {
  const TensorView top = first(top_, {2, count, top_.shape()[2]});
  backend.top_scores({.scores = first_logits(count),
                      .top_ids = half(top, 0, DType::kI32),
                      .top_scores = half(top, 1, DType::kF32)});
  if (!backend.host_accessible()) backend.download(top, first(host_top_, top.shape));
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
  const auto count = static_cast<std::int64_t>(rows.size());
  plan(count, backend);
  multiply(hidden_states, rows, backend);
  if (!backend.host_accessible() && (!host_.present() || host_.shape() != logits_.shape())) {
    host_ = Tensor(DType::kF32, logits_.shape());
  }
  return to_host(first_logits(count), host_, backend);
}

TopLogits Head::top(const TensorView& hidden_states, std::span<const std::int32_t> rows,
                    Backend& backend) {
  const auto count = static_cast<std::int64_t>(rows.size());
  plan(count, backend);
  multiply(hidden_states, rows, backend);
  choose(count, backend);
  return found_top(count, backend);
}

void Head::find_top(const RmsNormArgs& norm, Backend& backend) {
  const std::int64_t count = norm.output.shape[0];
  const LinearArgs product = {
      .input = norm.output, .weight = weight_, .output = first_logits(count)};
  backend.norm_linears(norm, {&product, 1});
  choose(count, backend);
}

TopLogits Head::found_top(std::int64_t count, Backend& backend) const {
  if (backend.host_accessible()) backend.synchronize();
  const Tensor& memory = backend.host_accessible() ? top_ : host_top_;
  const TensorView top = first(memory, {2, count, top_.shape()[2]});
  return {half(top, 0, DType::kI32), half(top, 1, DType::kF32)};
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
