// MiniMaxM2Config: JSON text in, standardised JSON text out.
#include "bindings.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "m2/config.h"

#include <string>
#include <utility>
#include <vector>

namespace m2::python {
namespace {

// (standardised text, warnings)
template <typename Read>
std::pair<std::string, std::vector<std::string>> read_config(bool strict, const Read& read) {
  std::vector<std::string> warnings;
  const MiniMaxM2Config config = read(ConfigOptions{.strict = strict, .warnings = &warnings});
  return {config.to_json(), warnings};
}

}  // namespace

void bind_config(nb::module_& module) {
  module.def(
      "config_from_json",
      [](const std::string& text, bool strict) {
        return read_config(strict, [&](const ConfigOptions& options) {
          return MiniMaxM2Config::from_json(text, options);
        });
      },
      nb::arg("text"), nb::arg("strict") = false,
      "Validates and standardises the text of a config.json; returns (text, other"
      " keys, warnings).");
  module.def(
      "config_from_pretrained",
      [](const std::string& directory, bool strict) {
        return read_config(strict, [&](const ConfigOptions& options) {
          return MiniMaxM2Config::from_pretrained(directory, options);
        });
      },
      nb::arg("directory"), nb::arg("strict") = false, "The same for directory/config.json.");
  module.def(
      "rotary_dim",
      [](const std::string& text, bool strict) {
        return MiniMaxM2Config::from_json(text, {.strict = strict}).rotary_dim();
      },
      nb::arg("text"), nb::arg("strict") = false, "The leading dimensions of a head that rotate.");
}

}  // namespace m2::python
