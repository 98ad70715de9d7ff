#include "forward.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace m2::python {
namespace {

void set_list(nb::dict& dict, const char* name, std::vector<Tensor>& tensors) {
  if (!tensors.empty()) dict[name] = to_list(tensors);
}

// What both records have.
template <typename Output>
void set_shared(nb::dict& dict, Output& output) {
  if (output.past_key_values != nullptr) {
    dict["past_key_values"] = nb::cast(output.past_key_values);
  }
  set_list(dict, "hidden_states", output.hidden_states);
  set_list(dict, "attentions", output.attentions);
  set_list(dict, "router_logits", output.router_logits);
  dict["warnings"] = nb::cast(output.warnings);
}

void take_logits_to_keep(Keywords& keywords, ForwardInputs& inputs) {
  const nb::object value = keywords.pop("logits_to_keep");
  if (value.is_valid()) inputs.logits_to_keep = nb::cast<std::int64_t>(value);
  TensorView positions;
  keywords.take("logits_to_keep_positions", positions);
  if (positions.present()) inputs.logits_to_keep = positions;
}

}  // namespace

nb::list to_list(std::vector<Tensor>& tensors) {
  nb::list list;
  for (Tensor& tensor : tensors) list.append(to_numpy(std::move(tensor)));
  return list;
}

ForwardInputs read_forward_inputs(Keywords& keywords) {
  ForwardInputs inputs;
  keywords.take("input_ids", inputs.input_ids);
  keywords.take("attention_mask", inputs.attention_mask);
  keywords.take("position_ids", inputs.position_ids);
  keywords.take("past_key_values", inputs.past_key_values);
  keywords.take("inputs_embeds", inputs.inputs_embeds);
  keywords.take("use_cache", inputs.use_cache);
  keywords.take("cache_position", inputs.cache_position);
  keywords.take("output_hidden_states", inputs.output_hidden_states);
  keywords.take("output_attentions", inputs.output_attentions);
  keywords.take("output_router_logits", inputs.output_router_logits);
  keywords.take("labels", inputs.labels);
  keywords.take("shift_labels", inputs.shift_labels);
  keywords.take("ignore_index", inputs.ignore_index);
  keywords.take("num_items_in_batch", inputs.num_items_in_batch);
  take_logits_to_keep(keywords, inputs);
  keywords.finish("forward");
  return inputs;
}

nb::dict to_dict(MoeModelOutputWithPast output) {
  nb::dict dict;
  dict["last_hidden_state"] = to_numpy(std::move(output.last_hidden_state));
  set_shared(dict, output);
  return dict;
}

nb::dict to_dict(MoeCausalLMOutputWithPast output) {
  nb::dict dict;
  if (output.loss.has_value()) dict["loss"] = *output.loss;
  if (output.aux_loss.has_value()) dict["aux_loss"] = *output.aux_loss;
  dict["logits"] = to_numpy(std::move(output.logits));
  set_shared(dict, output);
  return dict;
}

}  // namespace m2::python
