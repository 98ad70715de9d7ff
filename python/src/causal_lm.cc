// MiniMaxM2ForCausalLM.
#include "generate.h"
#include "models.h"

#include <cstdint>

namespace m2::python {

void bind_causal_lm(nb::module_& module) {
  nb::class_<MiniMaxM2ForCausalLM> model(module, "MiniMaxM2ForCausalLM",
                                         "The decoder with its head.");
  bind_model_methods(model);
  model.def("model", &MiniMaxM2ForCausalLM::model, "The decoder: the same weights.")
      .def(
          "generation_config",
          [](const MiniMaxM2ForCausalLM& self) { return self.generation_config(); }, "A copy.")
      .def(
          "set_generation_config",
          [](MiniMaxM2ForCausalLM& self, const GenerationConfig& config) {
            self.generation_config() = config;
          },
          nb::arg("config"))
      .def("generate", &generate, nb::arg("call"), nb::arg("kwargs"))
      .def("resize_token_embeddings", &MiniMaxM2ForCausalLM::resize_token_embeddings,
           nb::arg("new_num_tokens"), nb::arg("pad_to_multiple_of"), nb::arg("mean_resizing"),
           nb::arg("seed"), nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace m2::python
