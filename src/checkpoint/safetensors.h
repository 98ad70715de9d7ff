// The safetensors format: reading from a mapping, writing as a stream.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/atomic_file.h"
#include "base/mapped_file.h"
#include "m2/tensor.h"
#include "quant/block_format.h"

namespace m2 {

struct SafetensorsEntry {
  std::string name;
  TensorView view;  // into the mapping: read-only, perhaps not aligned for its dtype
};

struct SafetensorsContent {
  std::vector<SafetensorsEntry> entries;        // in the order of their bytes
  std::map<std::string, std::string> metadata;  // `__metadata__`
};

/// Parses a whole file image; the views point into `bytes`. `file` names it in messages. Throws
/// kCorruptFile unless the header is well-formed, every tensor has the bytes of its dtype and
/// shape, and together they cover the data exactly once; kUnsupported for a dtype of the format
/// that this library does not know.
SafetensorsContent parse_safetensors(std::span<const std::byte> bytes, const std::string& file);

/// A mapped file and its tensors. Views live as long as this object.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  [[nodiscard]] const std::vector<SafetensorsEntry>& entries() const { return content_.entries; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const {
    return content_.metadata;
  }
  [[nodiscard]] const std::filesystem::path& path() const { return file_.path(); }
  /// The whole mapping.
  [[nodiscard]] std::span<const std::byte> bytes() const { return file_.bytes(); }

 private:
  MappedFile file_;
  SafetensorsContent content_;
};

/// Collects tensors, then writes one file. The bytes are those that the safetensors library would
/// write: tensors by falling alignment of their dtype, then by name; header padded to 8 bytes.
/// Tensors in block formats come before all others, in natural order of their names, so that an
/// expert's three matrices lie beside each other; the data then starts at a multiple of 64 bytes.
class SafetensorsWriter {
 public:
  using Sink = std::function<void(std::span<const std::byte>)>;
  /// Hands the bytes of a tensor to the sink, in any number of pieces.
  using Producer = std::function<void(const Sink&)>;

  /// The memory must live until write() returns.
  void add(std::string name, const TensorView& tensor);
  /// For tensors made on the fly: `producer` runs inside write(), once.
  void add(std::string name, DType dtype, const Shape& shape, Producer producer);
  /// A tensor in a block format: U8 [num_bytes] in the file, its format and logical shape in the
  /// metadata. A stack of matrices [..., rows, cols] is one after the other.
  void add_blocks(std::string name, BlockFormat format, const Shape& shape, Producer producer);
  void set_metadata(std::string key, std::string value);

  /// Writes `path` under a temporary name in the same folder and renames it when complete, so a
  /// reader never sees half a file. Throws kInvalidArgument when `path` cannot be written.
  void write(const std::filesystem::path& path) const;
  /// The same without the renaming: the caller commits, for a set of files that appears together.
  void write(AtomicFile& out) const;

 private:
  struct Item {
    std::string name;
    DType dtype;
    Shape shape;
    Producer producer;
    bool blocks = false;
  };
  [[nodiscard]] std::vector<const Item*> file_order() const;
  [[nodiscard]] std::string header(const std::vector<const Item*>& order) const;

  std::vector<Item> items_;
  std::unordered_set<std::string> names_;
  std::map<std::string, std::string> metadata_ = {{"format", "pt"}};
};

}  // namespace m2
