// What the bindings of MiniMaxM2Model and MiniMaxM2ForCausalLM share.
#pragma once

#include "forward.h"
#include "loading.h"

#include <nanobind/stl/map.h>

#include <optional>
#include <string>
#include <utility>

namespace m2::python {

template <typename Model>
Model make_model(const std::string& config_json, const nb::kwargs& kwargs) {
  Keywords keywords(kwargs);
  const FromConfigOptions options = read_config_options(keywords);
  const auto config = MiniMaxM2Config::from_json(config_json, {.strict = options.strict});
  const nb::gil_scoped_release release;
  return Model(config, options);
}

/// (model, loading info)
template <typename Model>
nb::tuple load_model(const std::string& name, const nb::kwargs& kwargs) {
  Keywords keywords(kwargs);
  InterruptibleCall call;
  const FromPretrainedOptions options = read_loading_options(keywords, call);
  LoadingInfo info;
  std::optional<Model> model;
  call.run([&] { model.emplace(Model::from_pretrained(name, options, &info)); });
  return nb::make_tuple(std::move(*model), to_dict(info));
}

template <typename Model>
nb::dict forward(Model& model, const nb::kwargs& kwargs) {
  Keywords keywords(kwargs);
  const ForwardInputs inputs = read_forward_inputs(keywords);
  auto output = [&] {
    const nb::gil_scoped_release release;
    return model.forward(inputs);
  }();
  return to_dict(std::move(output));
}

template <typename Model>
void save_model(const Model& model, const std::string& directory, const nb::kwargs& kwargs) {
  Keywords keywords(kwargs);
  const SavePretrainedOptions options = read_saving_options(keywords);
  const nb::gil_scoped_release release;
  model.save_pretrained(directory, options);
}

/// The settings of a config that act from the next call on.
template <typename Model>
void set_config_flags(Model& model, std::int64_t num_hidden_layers, bool use_cache,
                      bool output_hidden_states, bool output_attentions,
                      bool output_router_logits) {
  MiniMaxM2Config& config = model.config();
  config.num_hidden_layers = num_hidden_layers;
  config.use_cache = use_cache;
  config.output_hidden_states = output_hidden_states;
  config.output_attentions = output_attentions;
  config.output_router_logits = output_router_logits;
}

template <typename Model>
void bind_model_methods(nb::class_<Model>& model) {
  model.def_static("from_config", &make_model<Model>, nb::arg("config_json"), nb::arg("kwargs"))
      .def_static("from_pretrained", &load_model<Model>, nb::arg("name"), nb::arg("kwargs"))
      .def("config_json", [](const Model& self) { return self.config().to_json(); })
      .def("set_config_flags", &set_config_flags<Model>, nb::arg("num_hidden_layers"),
           nb::arg("use_cache"), nb::arg("output_hidden_states"), nb::arg("output_attentions"),
           nb::arg("output_router_logits"))
      .def("forward", &forward<Model>, nb::arg("kwargs"))
      .def("save_pretrained", &save_model<Model>, nb::arg("directory"), nb::arg("kwargs"))
      .def("train", &Model::train, nb::arg("mode") = true)
      .def_prop_ro("training", &Model::training)
      .def("manual_seed", &Model::manual_seed, nb::arg("seed"))
      .def("num_parameters", &Model::num_parameters)
      .def("device_map", &Model::device_map);
}

}  // namespace m2::python
