// Writes GGUF files as a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/atomic_file.h"
#include "gguf/ggml_type.h"
#include "gguf/metadata.h"
#include "m2/tensor.h"

namespace m2 {

/// Collects metadata and tensors, then writes one file of version 3 with alignment 32: metadata and
/// tensors in the order in which they were given. Keys and names must differ.
class GgufWriter {
 public:
  using Sink = std::function<void(std::span<const std::byte>)>;
  /// Hands the bytes of a tensor to the sink, in any number of pieces.
  using Producer = std::function<void(const Sink&)>;

  void set_uint32(std::string_view key, std::uint32_t value);
  void set_int32(std::string_view key, std::int32_t value);
  void set_float32(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_text(std::string_view key, std::string_view value);
  void set_texts(std::string_view key, std::span<const std::string> values);
  void set_int32s(std::string_view key, std::span<const std::int32_t> values);

  /// `shape` with the outermost dimension first; whole blocks in every row. `producer` runs inside
  /// write(), once.
  void add(std::string name, GgmlType type, const Shape& shape, Producer producer);

  /// Writes `path` under a temporary name in the same folder and renames it when complete. Throws
  /// kInvalidArgument when `path` cannot be written.
  void write(const std::filesystem::path& path) const;
  /// The same without the renaming: the caller commits.
  void write(AtomicFile& out) const;

 private:
  struct Item {
    std::string name;
    GgmlType type;
    Shape shape;
    std::uint64_t num_bytes;
    Producer producer;
  };

  void begin_pair(std::string_view key, GgufValueType type);
  [[nodiscard]] std::string header() const;

  std::string pairs_;  // encoded
  std::uint64_t num_pairs_ = 0;
  std::vector<Item> items_;
  std::unordered_set<std::string> keys_;
  std::unordered_set<std::string> names_;
};

}  // namespace m2
