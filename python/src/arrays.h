// Arrays between Python and the library, without copies.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "m2/tensor.h"

namespace m2::python {

namespace nb = nanobind;

/// Any contiguous array in host memory: NumPy, a torch tensor, whatever speaks DLPack.
using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;

/// A view of what the array holds; the array must outlive it. Throws TypeError that names
/// `argument` for element types that the library does not have.
TensorView view_of(const Array& array, const char* argument);

/// A NumPy array that owns the tensor; None for an absent one. The GIL must be held.
nb::object to_numpy(Tensor tensor);

}  // namespace m2::python
