// m2::Error as Python exceptions: every class derives from m2.Error and from the built-in exception
// that Python code catches for such a failure.
#include "bindings.h"

#include "m2/error.h"

#include <array>
#include <exception>

namespace m2::python {
namespace {

struct ErrorClass {
  ErrorCode code;
  const char* name;
  PyObject** built_in;
  const char* doc;
  PyObject* type = nullptr;  // lives as long as the interpreter
};

std::array<ErrorClass, 8>& error_classes() {
  static std::array<ErrorClass, 8> classes = {{
      {ErrorCode::kInvalidArgument, "InvalidArgumentError", &PyExc_ValueError,
       "The caller passed something that cannot be done."},
      {ErrorCode::kNotFound, "NotFoundError", &PyExc_FileNotFoundError,
       "A file, model or name does not exist."},
      {ErrorCode::kCorruptFile, "CorruptFileError", &PyExc_OSError,
       "A file is damaged or not of the format that it claims."},
      {ErrorCode::kUnsupported, "UnsupportedError", &PyExc_NotImplementedError,
       "Valid, but not done by this library."},
      {ErrorCode::kResourceExhausted, "ResourceExhaustedError", &PyExc_MemoryError,
       "Memory, cache blocks or a limit ran out."},
      {ErrorCode::kCancelled, "CancelledError", &PyExc_RuntimeError, "The caller asked to stop."},
      {ErrorCode::kDeviceFailure, "DeviceError", &PyExc_RuntimeError, "An accelerator failed."},
      {ErrorCode::kInternal, "InternalError", &PyExc_RuntimeError,
       "A contract of the library itself was broken: a bug."},
  }};
  return classes;
}

void translate(const std::exception_ptr& pointer, void* /*payload*/) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error& error) {
    for (const ErrorClass& entry : error_classes()) {
      if (entry.code == error.code()) PyErr_SetString(entry.type, error.what());
    }
  }
}

}  // namespace

void bind_errors(nb::module_& module) {
  nb::object base = nb::steal(PyErr_NewExceptionWithDoc(
      "m2.Error", "Base of the exceptions that the library raises.", nullptr, nullptr));
  module.attr("Error") = base;
  for (ErrorClass& entry : error_classes()) {
    const std::string name = std::string("m2.") + entry.name;
    const nb::tuple bases = nb::make_tuple(base, nb::handle(*entry.built_in));
    entry.type = PyErr_NewExceptionWithDoc(name.c_str(), entry.doc, bases.ptr(), nullptr);
    if (entry.type == nullptr) throw nb::python_error();
    module.attr(entry.name) = nb::borrow(entry.type);
  }
  nb::register_exception_translator(translate, nullptr);
}

}  // namespace m2::python
