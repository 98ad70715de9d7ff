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
void bind_cache(nb::module_& module);
void bind_model(nb::module_& module);
void bind_causal_lm(nb::module_& module);
void bind_transition_scores(nb::module_& module);
void bind_streamer(nb::module_& module);
void bind_hub(nb::module_& module);

}  // namespace m2::python
