// m2::Error as the exceptions of m2/errors.py.
#include "bindings.h"

#include "m2/error.h"

#include <exception>

namespace m2::python {
namespace {

// Name of an error code to exception class. It lives as long as the interpreter, so nothing counts
// its references at the end of the program.
PyObject* error_classes = nullptr;

void translate(const std::exception_ptr& pointer, void* /*payload*/) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error& error) {
    PyObject* type = error_classes == nullptr
                         ? nullptr
                         : PyDict_GetItemString(error_classes, error_code_name(error.code()));
    PyErr_SetString(type == nullptr ? PyExc_RuntimeError : type, error.what());
  }
}

}  // namespace

void bind_errors(nb::module_& module) {
  module.def(
      "register_errors", [](nb::dict classes) { error_classes = classes.release().ptr(); },
      nb::arg("classes"), "The exception class of every error code.");
  nb::register_exception_translator(translate, nullptr);
}

}  // namespace m2::python
