#include "gguf/metadata.h"

#include <array>
#include <charconv>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace m2 {
namespace {

template <typename T>
T load(std::span<const std::byte> bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

// Nothing when the type is no integer or the number is beyond int64.
std::optional<std::int64_t> load_integer(const GgufValue& value, std::size_t index) {
  switch (value.type) {
    case GgufValueType::kUint8:
      return load<std::uint8_t>(value.bytes, index);
    case GgufValueType::kInt8:
      return load<std::int8_t>(value.bytes, index);
    case GgufValueType::kUint16:
      return load<std::uint16_t>(value.bytes, index);
    case GgufValueType::kInt16:
      return load<std::int16_t>(value.bytes, index);
    case GgufValueType::kUint32:
      return load<std::uint32_t>(value.bytes, index);
    case GgufValueType::kInt32:
      return load<std::int32_t>(value.bytes, index);
    case GgufValueType::kInt64:
      return load<std::int64_t>(value.bytes, index);
    case GgufValueType::kUint64: {
      const auto number = load<std::uint64_t>(value.bytes, index);
      if (number > std::numeric_limits<std::int64_t>::max()) return std::nullopt;
      return static_cast<std::int64_t>(number);
    }
    default:
      return std::nullopt;
  }
}

double shortest(float value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
  double decimal = value;
  std::from_chars(text.data(), end.ptr, decimal);
  return decimal;
}

const char* type_name(GgufValueType type) {
  static constexpr const char* kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                           "int32",  "float32", "bool",   "string", "array",
                                           "uint64", "int64",   "float64"};
  return kNames[static_cast<std::uint32_t>(type)];
}

}  // namespace

const GgufValue* GgufMetadata::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

void GgufMetadata::reject(std::string_view key, const char* expected,
                          const GgufValue& value) const {
  fail(ErrorCode::kCorruptFile, file_, ": ", key, ": expected ", expected, ", got ",
       value.is_array ? "an array of " : "", type_name(value.type));
}

std::optional<std::string_view> GgufMetadata::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GgufValueType::kString) reject(key, "a string", *value);
  const auto* chars = reinterpret_cast<const char*>(value->bytes.data());
  return std::string_view(chars, value->bytes.size()).substr(sizeof(std::uint64_t));
}

std::optional<bool> GgufMetadata::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GgufValueType::kBool) reject(key, "a bool", *value);
  return load<std::uint8_t>(value->bytes, 0) != 0;
}

std::optional<std::int64_t> GgufMetadata::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto first = value->count > 0 ? load_integer(*value, 0) : std::nullopt;
  if (!first.has_value()) reject(key, "an integer", *value);
  for (std::size_t i = 1; i < value->count; ++i) {
    M2_REQUIRE(ErrorCode::kUnsupported, load_integer(*value, i) == first, file_, ": ", key,
               ": expected one number for all layers, got different ones");
  }
  return first;
}

std::optional<double> GgufMetadata::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array) reject(key, "a number", *value);
  if (value->type == GgufValueType::kFloat32) return shortest(load<float>(value->bytes, 0));
  if (value->type == GgufValueType::kFloat64) return load<double>(value->bytes, 0);
  const auto integer = load_integer(*value, 0);
  if (!integer.has_value()) reject(key, "a number", *value);
  return static_cast<double>(*integer);
}

std::optional<std::vector<std::string_view>> GgufMetadata::texts(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array || value->type != GgufValueType::kString) {
    reject(key, "an array of strings", *value);
  }
  std::vector<std::string_view> texts;
  texts.reserve(value->count);
  const auto* next = reinterpret_cast<const char*>(value->bytes.data());
  for (std::uint64_t i = 0; i < value->count; ++i) {
    std::uint64_t length = 0;
    std::memcpy(&length, next, sizeof(length));
    next += sizeof(length);
    texts.emplace_back(next, length);
    next += length;
  }
  return texts;
}

std::optional<std::vector<std::int64_t>> GgufMetadata::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_array) reject(key, "an array of integers", *value);
  std::vector<std::int64_t> numbers;
  numbers.reserve(value->count);
  for (std::size_t i = 0; i < value->count; ++i) {
    const auto number = load_integer(*value, i);
    if (!number.has_value()) reject(key, "an array of integers", *value);
    numbers.push_back(*number);
  }
  return numbers;
}

}  // namespace m2
