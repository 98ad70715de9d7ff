// A directory of weight files, or a model in GGUF files, seen as one set of named tensors.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"
#include "gguf/gguf.h"
#include "m2/tensor.h"
#include "quant/block_format.h"

namespace m2 {

struct CheckpointTensor {
  std::string_view name;
  TensorView view;       // read-only; aligned for its dtype
  std::size_t file = 0;  // index for Checkpoint::file_path
  /// With a block format: `view` is the bytes [num_bytes] U8 of a matrix of this logical shape, or
  /// of a stack of matrices one after the other. Else the shape of `view`.
  Shape shape = {};
  BlockFormat block_format = BlockFormat::kNone;
};

/// A place in one of the files.
struct FileRange {
  std::size_t file = 0;      // index for Checkpoint::file_path
  std::uint64_t offset = 0;  // of the first byte
};

struct CheckpointOptions {
  std::string variant;  ///< "fp16" chooses model.fp16.safetensors; empty: none
};

/// What a model.safetensors.index.json says.
struct SafetensorsIndex {
  std::vector<std::string> files;    // distinct, sorted
  std::optional<std::string> dtype;  // of its metadata
  std::size_t num_tensors = 0;       // entries of the weight map
};

/// `file` names the index in messages. Throws kCorruptFile.
SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& file);

/// Parses the metadata value of a tensor in a block format, "int4_g32 [1536, 3072]", and checks it
/// against the tensor's type and bytes. `where` names file and tensor in messages. Throws
/// kCorruptFile, kUnsupported for formats that this library does not know.
void read_block_format(const std::string& value, const std::string& where,
                       CheckpointTensor& tensor);
/// The value for that metadata entry, whose key is the tensor's name.
std::string block_format_metadata(BlockFormat format, const Shape& shape);
/// Bytes of a stack of matrices [..., rows, cols].
std::int64_t block_stack_bytes(BlockFormat format, const Shape& shape);

/// Immutable after construction; views live as long as this object.
class Checkpoint {
 public:
  /// Maps `path`: a directory (model.safetensors, else the files of its index, else the GGUF model
  /// in it) or one file. Throws kNotFound for absent files, kUnsupported for pickled weights and
  /// types that this library does not decode, kCorruptFile for damaged files.
  static std::shared_ptr<const Checkpoint> open(const std::filesystem::path& path,
                                                const CheckpointOptions& options = {});

  /// One without tensors.
  static std::shared_ptr<const Checkpoint> empty();

  /// In natural dotted order: numeric components compare as numbers.
  [[nodiscard]] std::span<const CheckpointTensor> tensors() const { return tensors_; }
  /// Null when there is none of that name.
  [[nodiscard]] const CheckpointTensor* find(std::string_view name) const;

  /// Where `bytes` bytes at an address of a mapping lie on disk; nothing for other memory.
  [[nodiscard]] std::optional<FileRange> locate(const void* data, std::size_t bytes) const;
  [[nodiscard]] std::size_t num_files() const { return mapped_.size(); }
  [[nodiscard]] const std::filesystem::path& file_path(std::size_t file) const;
  /// "dtype" of the index's metadata.
  [[nodiscard]] const std::optional<std::string>& index_dtype() const { return index_dtype_; }
  /// Names that more than one file holds; the last file in the order of names wins.
  [[nodiscard]] const std::vector<std::string>& repeated_names() const { return repeated_; }
  /// Tensors whose bytes were not aligned for their dtype in the file and had to be copied.
  [[nodiscard]] std::int64_t copied_tensors() const {
    return static_cast<std::int64_t>(copies_.size());
  }
  [[nodiscard]] std::int64_t copied_bytes() const { return copied_bytes_; }

 private:
  Checkpoint() = default;
  void add_directory(const std::filesystem::path& path, const CheckpointOptions& options);
  void add_index(const std::filesystem::path& path);
  void add_file(const std::filesystem::path& path);
  void add_gguf(const std::filesystem::path& path);
  void finish();
  void align(CheckpointTensor& tensor);

  struct MappedPath {
    std::filesystem::path path;
    std::span<const std::byte> bytes;  // the whole mapping
  };

  std::vector<MappedPath> mapped_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::unique_ptr<GgufModel> gguf_;
  std::vector<CheckpointTensor> tensors_;  // sorted by natural_less
  std::vector<std::string> repeated_;
  std::vector<Tensor> copies_;
  std::int64_t copied_bytes_ = 0;
  std::optional<std::string> index_dtype_;
};

/// Compares dotted names component by component; components of digits only compare as numbers and
/// come before others. A total order.
bool natural_less(std::string_view a, std::string_view b);

}  // namespace m2
