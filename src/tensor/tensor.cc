#include "m2/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <utility>

#include "base/error.h"

namespace m2 {

Shape::Shape(std::initializer_list<std::int64_t> dims)
    : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  M2_CHECK(dims.size() <= kMaxRank, "a shape has at most ", kMaxRank, " dimensions, got ",
           dims.size());
  std::copy(dims.begin(), dims.end(), dims_.begin());
  for (const auto dim : dims) M2_CHECK(dim >= 0, "negative dimension ", dim);
}

std::int64_t Shape::num_elements() const {
  std::int64_t count = 1;
  for (int axis = 0; axis < rank_; ++axis) count *= (*this)[axis];
  return count;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int axis = 0; axis < rank_; ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string((*this)[axis]);
  }
  return text + "]";
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.to_string(); }

void TensorView::fail_dtype(DType expected) const {
  fail(ErrorCode::kInternal, "expected a tensor of ", dtype_name(expected), ", got ",
       dtype_name(dtype), " ", shape);
}

Tensor::Tensor(DType dtype, const Shape& shape) : view_{nullptr, dtype, shape} {
  // calloc hands out large blocks as untouched zero pages: memory that is planned for the longest
  // context costs nothing until it is used.
  constexpr std::size_t kAlignment = 64;
  const std::size_t bytes = view_.num_bytes();
  data_ = {std::calloc(bytes + kAlignment, 1), [](void* data) { std::free(data); }};
  M2_REQUIRE(ErrorCode::kResourceExhausted, data_ != nullptr, "cannot allocate ", bytes,
             " bytes for a tensor of shape ", shape);
  const auto address = reinterpret_cast<std::uintptr_t>(data_.get());
  view_.data = reinterpret_cast<void*>((address + kAlignment - 1) / kAlignment * kAlignment);
}

Tensor::Tensor(const TensorView& view, Deleter deleter)
    : data_(view.data, std::move(deleter)), view_(view) {}

Tensor Tensor::copy_of(const TensorView& source) {
  Tensor copy(source.dtype, source.shape);
  if (source.num_bytes() > 0) std::memcpy(copy.view_.data, source.data, source.num_bytes());
  return copy;
}

}  // namespace m2
