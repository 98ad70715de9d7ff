// Shapes, non-owning views and owning tensors. All tensors are row-major and contiguous.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>

#include "m2/dtype.h"

namespace m2 {

/// Up to six dimensions; zero is a legal size.
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] std::int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  /// Product of the dimensions; 1 for a scalar.
  [[nodiscard]] std::int64_t num_elements() const;
  /// "[2, 3]".
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType kValue = DType::kF32;
};
template <>
struct DTypeOf<bf16> {
  static constexpr DType kValue = DType::kBF16;
};
template <>
struct DTypeOf<f16> {
  static constexpr DType kValue = DType::kF16;
};
template <>
struct DTypeOf<f8e4m3> {
  static constexpr DType kValue = DType::kF8E4M3;
};
template <>
struct DTypeOf<double> {
  static constexpr DType kValue = DType::kF64;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType kValue = DType::kI64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType kValue = DType::kI32;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType kValue = DType::kU8;
};

/// Points at memory that somebody else owns. Trivially copyable; a default one is "absent".
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  [[nodiscard]] bool present() const { return data != nullptr; }
  [[nodiscard]] std::int64_t num_elements() const { return shape.num_elements(); }
  [[nodiscard]] std::size_t num_bytes() const {
    return static_cast<std::size_t>(num_elements()) * dtype_size(dtype);
  }
  /// The elements; throws kInternal when T is not the dtype.
  template <typename T>
  [[nodiscard]] T* as() const {
    require_dtype(DTypeOf<T>::kValue);
    return static_cast<T*>(data);
  }

 private:
  void require_dtype(DType expected) const {
    if (dtype != expected) [[unlikely]]
      fail_dtype(expected);
  }
  [[noreturn]] void fail_dtype(DType expected) const;
};

/// Owns memory, aligned to 64 bytes where it made it itself.
class Tensor {
 public:
  using Deleter = std::function<void(void*)>;

  Tensor() = default;
  /// Zero-filled. Throws kResourceExhausted when there is not enough memory.
  Tensor(DType dtype, const Shape& shape);
  /// Takes over memory that holds `view`; `deleter` gets view.data at the end.
  Tensor(const TensorView& view, Deleter deleter);

  /// A tensor of its own with the same elements.
  [[nodiscard]] static Tensor copy_of(const TensorView& source);

  [[nodiscard]] const TensorView& view() const { return view_; }
  [[nodiscard]] const Shape& shape() const { return view_.shape; }
  [[nodiscard]] bool present() const { return view_.present(); }
  template <typename T>
  [[nodiscard]] T* as() const {
    return view_.as<T>();
  }

 private:
  std::unique_ptr<void, Deleter> data_;
  TensorView view_;
};

}  // namespace m2
