#include "service/output_file.h"

#include <span>
#include <string>

#include "checkpoint/safetensors.h"

namespace m2 {
namespace {

void add_numbered(SafetensorsWriter& writer, const std::string& name,
                  std::span<const Tensor> tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    writer.add(name + "." + std::to_string(i), tensors[i].view());
  }
}

void add_scalar(SafetensorsWriter& writer, const std::string& name, const float& value) {
  writer.add(name, {const_cast<float*>(&value), DType::kF32, Shape{}});
}

}  // namespace

void save_outputs(const MoeCausalLMOutputWithPast& outputs, const std::filesystem::path& path) {
  SafetensorsWriter writer;
  writer.add("logits", outputs.logits.view());
  add_numbered(writer, "hidden_states", outputs.hidden_states);
  add_numbered(writer, "router_logits", outputs.router_logits);
  add_numbered(writer, "attentions", outputs.attentions);
  if (outputs.loss) add_scalar(writer, "loss", *outputs.loss);
  if (outputs.aux_loss) add_scalar(writer, "aux_loss", *outputs.aux_loss);
  writer.write(path);
}

}  // namespace m2
