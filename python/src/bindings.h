// What the files of the extension share: one bind function for each class.
#pragma once

#include <nanobind/nanobind.h>

namespace m2::python {

namespace nb = nanobind;

void bind_errors(nb::module_& module);
void bind_config(nb::module_& module);
void bind_generation_config(nb::module_& module);
void bind_tokenizer(nb::module_& module);
void bind_chat_template(nb::module_& module);

}  // namespace m2::python
