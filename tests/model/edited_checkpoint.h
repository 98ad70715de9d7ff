// Golden checkpoints with changes: tensors dropped, renamed, reshaped or added.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/file_images.h"
#include "m2/config.h"
#include "model/weights.h"
#include "support/paths.h"

namespace m2::test {

class EditedCheckpoint {
 public:
  explicit EditedCheckpoint(const std::string& golden)
      : source_(Checkpoint::open(golden_path("checkpoints/" + golden))),
        config(MiniMaxM2Config::from_pretrained(golden_path("checkpoints/" + golden))) {
    for (const auto& tensor : source_->tensors()) tensors[std::string(tensor.name)] = tensor.view;
  }

  EditedCheckpoint& drop(const std::string& name) {
    if (tensors.erase(name) == 0) throw std::runtime_error("no tensor " + name);
    return *this;
  }
  EditedCheckpoint& rename(const std::string& name, const std::string& to) {
    auto node = tensors.extract(name);
    node.key() = to;
    tensors.insert(std::move(node));
    return *this;
  }
  /// Adds a tensor of zeros or replaces one.
  EditedCheckpoint& put(const std::string& name, DType dtype, const Shape& shape) {
    const auto& tensor = made_.emplace_back(dtype, shape);
    tensors[name] = tensor.view();
    return *this;
  }
  /// Every name through `change`.
  EditedCheckpoint& rename_all(const std::function<std::string(std::string)>& change) {
    std::map<std::string, TensorView> changed;
    for (const auto& [name, view] : tensors) changed[change(name)] = view;
    tensors = std::move(changed);
    return *this;
  }

  ModelWeights load(LoadReport* report = nullptr, const LoadProgress& progress = {},
                    const WeightLoadOptions& options = {}) {
    SafetensorsWriter writer;
    for (const auto& [name, view] : tensors) writer.add(name, view);
    writer.write(dir_.path() / "model.safetensors");
    return load_weights(config, Checkpoint::open(dir_.path()), report, progress, options);
  }
  std::string error() {
    return error_of([this] { load(); });
  }

 private:
  TempDir dir_;
  std::shared_ptr<const Checkpoint> source_;
  std::vector<Tensor> made_;

 public:
  MiniMaxM2Config config;
  std::map<std::string, TensorView> tensors;
};

}  // namespace m2::test
