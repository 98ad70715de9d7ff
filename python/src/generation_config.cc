// GenerationConfig. Values travel as JSON text, which the library reads and checks.
#include "bindings.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "m2/generation_config.h"

#include <string>

namespace m2::python {

void bind_generation_config(nb::module_& module) {
  nb::class_<GenerationConfig>(module, "GenerationConfig")
      .def(nb::init<>())
      .def_static(
          "from_json", [](const std::string& text) { return GenerationConfig::from_json(text); },
          nb::arg("text"))
      .def_static(
          "from_pretrained",
          [](const std::string& directory) { return GenerationConfig::from_pretrained(directory); },
          nb::arg("directory"))
      .def(
          "update_from_json",
          [](GenerationConfig& config, const std::string& text) { config.update_from_json(text); },
          nb::arg("text"))
      .def("to_json", &GenerationConfig::to_json)
      .def(
          "save_pretrained",
          [](const GenerationConfig& config, const std::string& directory) {
            config.save_pretrained(directory);
          },
          nb::arg("directory"))
      .def("merge", &GenerationConfig::merge, nb::arg("over"))
      .def("with_defaults", &GenerationConfig::with_defaults)
      .def("validate", &GenerationConfig::validate)
      .def("warnings", &GenerationConfig::warnings);
}

}  // namespace m2::python
