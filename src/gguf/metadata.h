// The typed key-value pairs at the beginning of a GGUF file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace m2 {

/// The numbers are those of the files.
enum class GgufValueType : std::uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

/// One value or an array of them, encoded as in the file. An array may have 200,000 strings, so
/// nothing is copied.
struct GgufValue {
  GgufValueType type = GgufValueType::kUint8;  // of the elements, where it is an array
  bool is_array = false;
  std::uint64_t count = 1;
  std::span<const std::byte> bytes;  // checked to hold `count` values
};

/// Views into the file's bytes. Every accessor gives nothing for an absent key and throws
/// kCorruptFile, naming file and key, when the value has another type.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string file) : file_(std::move(file)) {}

  /// False when the key is there already.
  [[nodiscard]] bool add(std::string_view key, const GgufValue& value) {
    return values_.emplace(key, value).second;
  }

  [[nodiscard]] bool contains(std::string_view key) const { return values_.contains(key); }
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  [[nodiscard]] const std::string& file() const { return file_; }

  [[nodiscard]] std::optional<std::string_view> text(std::string_view key) const;
  [[nodiscard]] std::optional<bool> boolean(std::string_view key) const;
  /// Of any integer type; an array whose elements are all equal counts as one of them (some
  /// writers repeat a number for every layer).
  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view key) const;
  /// Of any integer or floating type; a float32 as the shortest decimal that is it, so that 1e-6
  /// is 1e-6.
  [[nodiscard]] std::optional<double> number(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<std::string_view>> texts(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<std::int64_t>> integers(std::string_view key) const;

 private:
  [[nodiscard]] const GgufValue* find(std::string_view key) const;
  [[noreturn]] void reject(std::string_view key, const char* expected,
                           const GgufValue& value) const;

  std::string file_;
  std::unordered_map<std::string_view, GgufValue> values_;
};

}  // namespace m2
