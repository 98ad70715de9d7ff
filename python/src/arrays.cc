#include "arrays.h"

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace m2::python {
namespace {

struct TypePair {
  nb::dlpack::dtype_code code;
  int bits;
  DType dtype;
};

constexpr std::array<TypePair, 11> kTypes = {{
    {nb::dlpack::dtype_code::Float, 32, DType::kF32},
    {nb::dlpack::dtype_code::Int, 64, DType::kI64},
    {nb::dlpack::dtype_code::Int, 32, DType::kI32},
    {nb::dlpack::dtype_code::Bool, 8, DType::kBool},
    {nb::dlpack::dtype_code::Float, 16, DType::kF16},
    {nb::dlpack::dtype_code::Bfloat, 16, DType::kBF16},
    {nb::dlpack::dtype_code::Float, 64, DType::kF64},
    {nb::dlpack::dtype_code::Int, 16, DType::kI16},
    {nb::dlpack::dtype_code::Int, 8, DType::kI8},
    {nb::dlpack::dtype_code::UInt, 8, DType::kU8},
    {nb::dlpack::dtype_code::Float8_E4M3FN, 8, DType::kF8E4M3},
}};

DType dtype_of(const Array& array, const char* argument) {
  const nb::dlpack::dtype type = array.dtype();
  for (const TypePair& pair : kTypes) {
    if (type.code == static_cast<std::uint8_t>(pair.code) && type.bits == pair.bits &&
        type.lanes == 1) {
      return pair.dtype;
    }
  }
  const std::string message = std::string(argument) + ": this element type is not supported";
  throw nb::type_error(message.c_str());
}

nb::dlpack::dtype dlpack_type(DType dtype) {
  for (const TypePair& pair : kTypes) {
    if (pair.dtype == dtype) {
      return {static_cast<std::uint8_t>(pair.code), static_cast<std::uint8_t>(pair.bits), 1};
    }
  }
  throw nb::type_error("to_numpy: this element type is not supported");
}

}  // namespace

TensorView view_of(const Array& array, const char* argument) {
  // A view without memory is "absent"; an empty array has none of its own.
  static std::int64_t empty = 0;
  if (array.ndim() > static_cast<std::size_t>(Shape::kMaxRank)) {
    const std::string message = std::string(argument) + ": too many dimensions";
    throw nb::value_error(message.c_str());
  }
  TensorView view;
  view.dtype = dtype_of(array, argument);
  view.shape = Shape(std::span<const std::int64_t>(array.shape_ptr(), array.ndim()));
  // The library only reads its arguments; views of inputs and outputs are one type.
  view.data = array.size() == 0 ? &empty : const_cast<void*>(array.data());
  return view;
}

nb::object to_numpy(Tensor tensor) {
  if (!tensor.present()) return nb::none();
  auto owned = std::make_unique<Tensor>(std::move(tensor));
  const TensorView view = owned->view();
  std::vector<std::size_t> shape;
  for (int axis = 0; axis < view.shape.rank(); ++axis) {
    shape.push_back(static_cast<std::size_t>(view.shape[axis]));
  }
  nb::capsule owner(owned.get(),
                    [](void* pointer) noexcept { delete static_cast<Tensor*>(pointer); });
  owned.release();  // the capsule has it now
  const nb::ndarray<nb::numpy> array(view.data, shape.size(), shape.data(), owner, nullptr,
                                     dlpack_type(view.dtype), nb::device::cpu::value, 0, 'C');
  return nb::cast(array);
}

}  // namespace m2::python
