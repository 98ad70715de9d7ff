// The GGUF container: metadata, then tensors in ggml's types.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "gguf/ggml_type.h"
#include "gguf/metadata.h"
#include "m2/tensor.h"

namespace m2 {

struct GgufTensor {
  std::string_view name;
  const GgmlTypeInfo* type = nullptr;
  Shape shape;  // outermost dimension first, unlike in the file
  std::span<const std::byte> bytes;
};

struct GgufContent {
  GgufMetadata metadata;
  std::vector<GgufTensor> tensors;  // in the order of the file
};

/// Parses a whole file image; everything views `bytes`. `file` names it in messages. Throws
/// kCorruptFile unless header and metadata are well-formed, names are unique, and the tensors lie
/// inside the file at aligned places without overlapping; kUnsupported for other versions of the
/// format, big-endian files, nested arrays and tensor types without a known size.
GgufContent parse_gguf(std::span<const std::byte> bytes, const std::string& file);

/// A mapped file and what it holds. Views live as long as this object.
class GgufFile {
 public:
  explicit GgufFile(const std::filesystem::path& path);

  [[nodiscard]] const GgufMetadata& metadata() const { return content_.metadata; }
  [[nodiscard]] const std::vector<GgufTensor>& tensors() const { return content_.tensors; }
  [[nodiscard]] const std::filesystem::path& path() const { return file_.path(); }
  /// The whole mapping.
  [[nodiscard]] std::span<const std::byte> bytes() const { return file_.bytes(); }

 private:
  MappedFile file_;
  GgufContent content_;
};

/// The file or files of one model: a split one has parts NAME-00001-of-00003.gguf and so on.
class GgufModel {
 public:
  /// `path`: the file, or any part of a split one. Throws kNotFound for absent parts, kCorruptFile
  /// for parts that do not belong together, kUnsupported for other architectures than minimax-m2.
  explicit GgufModel(const std::filesystem::path& path);

  /// Of the first file, which has all of it.
  [[nodiscard]] const GgufMetadata& metadata() const { return files_.front()->metadata(); }
  [[nodiscard]] const std::vector<std::unique_ptr<GgufFile>>& files() const { return files_; }
  /// Null when there is none of that name.
  [[nodiscard]] const GgufTensor* find_tensor(std::string_view name) const;

 private:
  void add_parts(const std::filesystem::path& path, std::int64_t count);

  std::vector<std::unique_ptr<GgufFile>> files_;
};

/// The GGUF file that `path` means: itself, when its name ends in ".gguf", or the only model in
/// GGUF files in that directory. Throws kInvalidArgument when there are several.
[[nodiscard]] std::optional<std::filesystem::path> find_gguf(const std::filesystem::path& path);

}  // namespace m2
