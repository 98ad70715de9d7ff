// The extension module m2._m2. Users import the package m2, which wraps it.
#include "bindings.h"

#include "m2/version.h"

NB_MODULE(_m2, module) {
  module.doc() = "Native part of the package m2.";
  module.attr("__version__") = M2_VERSION;
  m2::python::bind_errors(module);
  m2::python::bind_config(module);
  m2::python::bind_generation_config(module);
  m2::python::bind_tokenizer(module);
  m2::python::bind_chat_template(module);
}
