// TextStreamer.
#include "bindings.h"

#include <nanobind/stl/function.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "m2/generation.h"

#include <cstdint>
#include <span>
#include <vector>

namespace m2::python {

void bind_streamer(nb::module_& module) {
  nb::class_<TextStreamer>(module, "TextStreamer", "Tokens to text, a word at a time.")
      .def(
          "__init__",
          [](TextStreamer* self, const Tokenizer& tokenizer, TextStreamer::OnText on_text,
             bool skip_prompt, bool skip_special_tokens) {
            new (self)
                TextStreamer(tokenizer, std::move(on_text), {skip_prompt, skip_special_tokens});
          },
          nb::arg("tokenizer"), nb::arg("on_text"), nb::arg("skip_prompt"),
          nb::arg("skip_special_tokens"))
      .def(
          "put", [](TextStreamer& self, const std::vector<std::int64_t>& ids) { self.put(ids); },
          nb::arg("ids"))
      .def("end", &TextStreamer::end);
}

}  // namespace m2::python
