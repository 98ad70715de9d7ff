// A model directory to convert.
#pragma once

#include <filesystem>
#include <string>

#include "checkpoint/file_images.h"
#include "model/save_weights.h"
#include "support/tiny_model.h"

namespace m2::test {

/// The tiny model with a tokenizer file that is none.
class ModelDirectory {
 public:
  explicit ModelDirectory(DType dtype = DType::kBF16, const SaveWeightsOptions& options = {},
                          const MiniMaxM2Config& config = tiny_config())
      : weights_(random_weights(config, dtype, 7)) {
    config.save_pretrained(path());
    save_weights(config, weights_, path(), options);
    directory_.write("tokenizer.json", "{}");
    directory_.write("generation_config.json", R"({"do_sample": false})");
    std::filesystem::create_directory(path() / "additional_chat_templates");
    directory_.write("additional_chat_templates/tool.jinja", "{{ messages }}");
    directory_.write(".hidden", "");
  }

  [[nodiscard]] const std::filesystem::path& path() const { return directory_.path(); }
  [[nodiscard]] const ModelWeights& weights() const { return weights_; }

 private:
  TempDir directory_;
  ModelWeights weights_;
};

}  // namespace m2::test
