// m2 forward: one forward pass over a batch, written to a file for comparison.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "commands.h"
#include "input_output.h"
#include "model_options.h"
#include "service/batch_inputs.h"
#include "service/output_file.h"

namespace m2::app {
namespace {

struct ForwardCommandOptions {
  ModelOptions model;
  std::string inputs;
  std::string out;
  bool hidden_states = false;
  bool router_logits = false;
  bool attentions = false;
  bool json = false;
};

void forward(const ForwardCommandOptions& options) {
  const BatchInputs batch = parse_batch_inputs(read_text(options.inputs), options.inputs);
  const auto loaded = load_model(options.model);
  if (options.attentions) loaded->causal_lm().set_attn_implementation("eager");
  ForwardInputs inputs = batch.forward_inputs();
  inputs.output_hidden_states = options.hidden_states;
  inputs.output_attentions = options.attentions;
  inputs.output_router_logits = options.router_logits;
  const MoeCausalLMOutputWithPast outputs = loaded->causal_lm().forward(inputs);
  save_outputs(outputs, options.out);

  const Shape& shape = outputs.logits.shape();
  Json summary = {{"out", options.out}, {"logits", {shape[0], shape[1], shape[2]}}};
  if (outputs.loss) summary["loss"] = *outputs.loss;
  if (outputs.aux_loss) summary["aux_loss"] = *outputs.aux_loss;
  if (options.json) {
    print_json(summary);
  } else {
    for (const auto& [key, value] : summary.items()) print(key + ": " + value.dump() + "\n");
  }
}

}  // namespace

void add_forward_command(CLI::App& app) {
  auto options = std::make_shared<ForwardCommandOptions>();
  CLI::App* command = app.add_subcommand("forward", "One forward pass over a batch of token ids");
  add_model_options(*command, options->model);
  command
      ->add_option("--inputs", options->inputs,
                   "JSON with rows of input_ids and, optionally, attention_mask, position_ids, "
                   "labels; - is standard input")
      ->required();
  command->add_option("--out", options->out, "The safetensors file to write, all in float32")
      ->required();
  command->add_flag("--hidden-states", options->hidden_states, "Write hidden_states.N");
  command->add_flag("--router-logits", options->router_logits,
                    "Write router_logits.N and aux_loss");
  command->add_flag("--attentions", options->attentions, "Write attentions.N");
  command->add_flag("--json", options->json, "Print a summary as JSON");
  command->callback([options] { forward(*options); });
}

}  // namespace m2::app
