// From the text of a parameter to its JSON value, by the types that its schema allows.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace m2::chat {

enum class ValueType : uint8_t { kNull, kInteger, kNumber, kBoolean, kObject, kArray, kString };

class ValueTypes {
 public:
  constexpr ValueTypes() = default;
  constexpr ValueTypes(std::initializer_list<ValueType> types) {
    for (ValueType type : types) insert(type);
  }
  constexpr void insert(ValueType type) { bits_ |= bit(type); }
  [[nodiscard]] constexpr bool contains(ValueType type) const { return (bits_ & bit(type)) != 0; }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  constexpr bool operator==(const ValueTypes&) const = default;

 private:
  static constexpr uint8_t bit(ValueType type) {
    return static_cast<uint8_t>(1U << static_cast<unsigned>(type));
  }
  uint8_t bits_ = 0;
};

/// The value as JSON text. The types are tried in the order null, integer, number, boolean, object,
/// array; a value that fits none of the allowed ones is a string, verbatim.
[[nodiscard]] std::string argument_json(std::string_view value, ValueTypes types);

}  // namespace m2::chat
