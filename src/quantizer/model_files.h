// The files of a model directory: what identifies them, and those that are no weights.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace m2 {

/// Name, size and time of the last change of every weight file and of config.json, by name. Files
/// of the hub's cache are looked at through their links. Of a GGUF file: those of its directory.
nlohmann::ordered_json source_identity(const std::filesystem::path& source);

/// Copies whatever is no weight file, index or config.json: tokenizer, templates, generation
/// config, card. Hidden files stay behind; beside a GGUF file nothing is copied.
void copy_other_files(const std::filesystem::path& source,
                      const std::filesystem::path& destination);

}  // namespace m2
