// The extension module m2._m2. Users import the package m2, which wraps it.
#include "bindings.h"

#include "m2/version.h"

NB_MODULE(_m2, module) {
  module.doc() = "Native part of the package m2.";
  module.attr("VERSION") = M2_VERSION;
  m2::python::bind_errors(module);
  m2::python::bind_config(module);
  m2::python::bind_generation_config(module);
  m2::python::bind_tokenizer(module);
  m2::python::bind_chat_template(module);
  m2::python::bind_cache(module);
  m2::python::bind_model(module);
  m2::python::bind_causal_lm(module);
  m2::python::bind_transition_scores(module);
  m2::python::bind_streamer(module);
  m2::python::bind_hub(module);
}
