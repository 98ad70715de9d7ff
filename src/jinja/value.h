// The values that templates work on, with Python's types and rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "jinja/str.h"

namespace m2::jinja {

/// Integers have 128 bits, which holds every integer that JSON readers deliver (int64 and uint64)
/// and their products. Python's grow without bound; a result outside is an error here.
__extension__ using Int = __int128;

class Value;
class Dict;

/// Values nest at most so deep; deeper ones are refused when they are made.
inline constexpr int kMaxValueDepth = 500;

enum class Kind : uint8_t {
  kMissing,  // a variable slot without a value; never seen by templates
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kDictView,
  kIterator,  // a generator: can be walked once
  kNamespace,
  kObject,  // whatever else has attributes or can be called
};

/// What values share by reference. Only lists, dicts and namespaces can be changed.
class Object : public std::enable_shared_from_this<Object> {
 public:
  /// Throws kResourceExhausted when `nesting` passes kMaxValueDepth.
  explicit Object(Kind object_kind, int nesting = 1);
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  /// Drops what the object holds, to cut reference cycles when a render ends.
  virtual void clear() {}

  const Kind kind;
  int depth;             // 1 + that of the deepest value inside, as it was when put in
  bool mutated = false;  // known to the runtime as possibly part of a cycle
};

/// Why a value is undefined, for the message of the error that using it raises.
struct UndefinedInfo {
  std::string message;
};

class Value {
 public:
  Value() = default;  // None

  [[nodiscard]] static Value none() { return {}; }
  [[nodiscard]] static Value missing();
  [[nodiscard]] static Value undefined(std::string message);
  [[nodiscard]] static Value boolean(bool value);
  [[nodiscard]] static Value integer(Int value);
  [[nodiscard]] static Value floating(double value);
  [[nodiscard]] static Value string(Str value);
  [[nodiscard]] static Value string(std::string text, Trust trust = Trust::kTrusted) {
    return string(Str(std::move(text), trust));
  }
  [[nodiscard]] static Value list(std::vector<Value> items);
  [[nodiscard]] static Value tuple(std::vector<Value> items);
  [[nodiscard]] static Value dict();
  [[nodiscard]] static Value object(std::shared_ptr<Object> object);

  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is(Kind kind_wanted) const { return kind() == kind_wanted; }
  [[nodiscard]] bool is_missing() const { return is(Kind::kMissing); }
  [[nodiscard]] bool is_undefined() const { return is(Kind::kUndefined); }
  [[nodiscard]] bool is_none() const { return is(Kind::kNone); }
  [[nodiscard]] bool is_string() const { return is(Kind::kString); }
  [[nodiscard]] bool is_dict() const { return is(Kind::kDict); }
  /// bool or int: Python's bool is an int.
  [[nodiscard]] bool is_integral() const { return is(Kind::kInt) || is(Kind::kBool); }
  [[nodiscard]] bool is_number() const { return is_integral() || is(Kind::kFloat); }

  // Each requires the kind that it names.
  [[nodiscard]] bool as_bool() const { return std::get<bool>(data_); }
  [[nodiscard]] Int as_int() const;       // bool or int
  [[nodiscard]] double as_float() const;  // bool, int or float
  [[nodiscard]] const Str& as_str() const { return std::get<Str>(data_); }
  [[nodiscard]] std::string_view view() const { return as_str().view(); }
  [[nodiscard]] const std::vector<Value>& items() const;  // list or tuple
  [[nodiscard]] Dict& as_dict() const;
  [[nodiscard]] const std::string& undefined_message() const;
  [[nodiscard]] const std::shared_ptr<Object>& as_object() const {
    return std::get<std::shared_ptr<Object>>(data_);
  }
  /// The object inside as T, or null when it is something else.
  template <typename T>
  [[nodiscard]] T* get_if() const {
    const auto* object = std::get_if<std::shared_ptr<Object>>(&data_);
    return object == nullptr ? nullptr : dynamic_cast<T*>(object->get());
  }

  /// Nesting of containers: 0 for plain values.
  [[nodiscard]] int depth() const;

 private:
  struct None {};
  struct Missing {};
  using Undefined = std::shared_ptr<const UndefinedInfo>;
  std::variant<None, Missing, Undefined, bool, Int, double, Str, std::shared_ptr<Object>> data_;
};

class List final : public Object {
 public:
  explicit List(std::vector<Value> values);
  void clear() override { items.clear(); }
  std::vector<Value> items;
};

class Tuple final : public Object {
 public:
  explicit Tuple(std::vector<Value> values, std::vector<std::string> names = {});
  const std::vector<Value> items;
  const std::vector<std::string> field_names;  // of a named tuple; else empty
};

/// Keeps the order of insertion. Keys follow Python: 1, 1.0 and true are one key.
class Dict final : public Object {
 public:
  using Entry = std::pair<Value, Value>;

  Dict() : Object(Kind::kDict) {}
  void clear() override;

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] size_t size() const { return entries_.size(); }
  /// Null when absent. Throws for keys that cannot be hashed.
  [[nodiscard]] const Value* find(const Value& key) const;
  [[nodiscard]] const Value* find(std::string_view key) const;
  void set(Value key, Value value);
  void set(std::string_view key, Value value);
  bool erase(const Value& key);

 private:
  // Position in entries_, or size() when absent.
  template <typename Matches>
  [[nodiscard]] size_t position(size_t hash, const Matches& matches) const;
  [[nodiscard]] size_t position(const Value& key, size_t hash) const;
  void append(Value key, Value value, size_t hash);
  void rebuild_slots();

  std::vector<Entry> entries_;
  std::vector<size_t> hashes_;  // of the keys of entries_
  std::vector<uint32_t>
      slots_;  // open addressing: 1 + position in entries_, 0 free; empty while small
};

/// JSON as template values. With kUntrusted every string inside, keys too, is marked. Throws
/// kInvalidArgument for text that is not UTF-8 and for nesting deeper than kMaxValueDepth.
[[nodiscard]] Value from_json(const nlohmann::ordered_json& json, Trust trust = Trust::kTrusted);

}  // namespace m2::jinja
