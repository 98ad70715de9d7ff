// ChatTemplate: messages to prompt text, with the spans that come from messages.
#include "bindings.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "m2/chat.h"

#include <string>
#include <utility>
#include <vector>

namespace m2::python {
namespace {

std::vector<std::pair<std::size_t, std::size_t>> pairs(const std::vector<TextRange>& ranges) {
  std::vector<std::pair<std::size_t, std::size_t>> result;
  for (const TextRange& range : ranges) result.emplace_back(range.begin, range.end);
  return result;
}

}  // namespace

void bind_chat_template(nb::module_& module) {
  nb::class_<RenderedPrompt>(module, "RenderedPrompt", "A prompt as text; spans are in bytes.")
      .def_ro("text", &RenderedPrompt::text)
      .def_prop_ro("untrusted",
                   [](const RenderedPrompt& prompt) { return pairs(prompt.untrusted); })
      .def_prop_ro("generation",
                   [](const RenderedPrompt& prompt) { return pairs(prompt.generation); })
      .def_ro("starts_in_reasoning", &RenderedPrompt::starts_in_reasoning)
      .def_ro("warnings", &RenderedPrompt::warnings);

  nb::class_<ChatTemplate>(module, "ChatTemplate")
      .def_static(
          "from_directory",
          [](const std::string& directory) { return ChatTemplate::from_directory(directory); },
          nb::arg("directory"))
      .def_static("from_source", &ChatTemplate::from_source, nb::arg("source"), nb::kw_only(),
                  nb::arg("bos_token"), nb::arg("eos_token"))
      .def(
          "render",
          [](const ChatTemplate& chat_template, const std::string& messages_json,
             const std::string& tools_json, const std::string& template_kwargs_json,
             bool add_generation_prompt, bool continue_final_message,
             const std::string& template_name) {
            ChatRequest request;
            request.messages_json = messages_json;
            request.tools_json = tools_json;
            request.template_kwargs_json = template_kwargs_json;
            request.add_generation_prompt = add_generation_prompt;
            request.continue_final_message = continue_final_message;
            request.template_name = template_name;
            return chat_template.render(request);
          },
          nb::arg("messages_json"), nb::kw_only(), nb::arg("tools_json") = "",
          nb::arg("template_kwargs_json") = "", nb::arg("add_generation_prompt") = false,
          nb::arg("continue_final_message") = false, nb::arg("template_name") = "",
          nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace m2::python
