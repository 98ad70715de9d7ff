// Values that only templates make: ranges, views, iterators, namespaces and things to call.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace m2::jinja {

class Runtime;

class Range final : public Object {
 public:
  Range(Int first, Int last, Int stride)
      : Object(Kind::kRange), start(first), stop(last), step(stride) {}
  [[nodiscard]] Int size() const;
  [[nodiscard]] Int at(Int index) const { return start + index * step; }
  const Int start, stop, step;
};

class DictView final : public Object {
 public:
  enum class Part { kKeys, kValues, kItems };
  DictView(std::shared_ptr<Dict> source, Part shown)
      : Object(Kind::kDictView, source->depth + 1), dict(std::move(source)), part(shown) {}
  [[nodiscard]] Value at(size_t index) const;
  const std::shared_ptr<Dict> dict;
  const Part part;
};

/// A Python iterator: lazy, can be walked once.
class Iterator : public Object {
 public:
  explicit Iterator(int nesting);
  [[nodiscard]] virtual std::optional<Value> next(Runtime& runtime) = 0;
};

class Namespace final : public Object {
 public:
  Namespace() : Object(Kind::kNamespace) {}
  void clear() override { attributes.clear(); }
  Dict attributes;
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<Str, Value>> keyword;  // names may come from a dict of the input
};

/// Something with attributes of its own, or something to call, or both.
class DynamicObject : public Object {
 public:
  explicit DynamicObject(int nesting = 1) : Object(Kind::kObject, nesting) {}
  [[nodiscard]] virtual std::string type_name() const = 0;  // as Python's type(x).__name__
  [[nodiscard]] virtual std::string repr(Runtime& runtime) const = 0;
  [[nodiscard]] virtual bool callable() const { return false; }
  [[nodiscard]] virtual Value call(Runtime& runtime, Arguments& arguments);
  /// Missing when there is no such attribute.
  [[nodiscard]] virtual Value attribute(Runtime& runtime, std::string_view name);
  [[nodiscard]] virtual std::optional<Int> length(Runtime&) { return std::nullopt; }
  [[nodiscard]] virtual bool iterable() const { return false; }
  [[nodiscard]] virtual std::optional<Value> next_item() { return std::nullopt; }
};

using NativeFunction = Value (*)(Runtime&, Arguments&);

class NativeCallable final : public DynamicObject {
 public:
  NativeCallable(std::string name, NativeFunction function)
      : name_(std::move(name)), function_(function) {}
  [[nodiscard]] std::string type_name() const override { return "function"; }
  [[nodiscard]] std::string repr(Runtime&) const override { return "<function " + name_ + ">"; }
  [[nodiscard]] bool callable() const override { return true; }
  [[nodiscard]] Value call(Runtime& runtime, Arguments& arguments) override {
    return function_(runtime, arguments);
  }

 private:
  std::string name_;
  NativeFunction function_;
};

using MethodFunction = Value (*)(Runtime&, const Value& self, Arguments&);

class BoundMethod final : public DynamicObject {
 public:
  BoundMethod(Value self, std::string_view name, MethodFunction function)
      : DynamicObject(self.depth() + 1), self_(std::move(self)), name_(name), function_(function) {}
  [[nodiscard]] std::string type_name() const override { return "builtin_function_or_method"; }
  [[nodiscard]] std::string repr(Runtime&) const override {
    return "<built-in method " + std::string(name_) + ">";
  }
  [[nodiscard]] bool callable() const override { return true; }
  [[nodiscard]] Value call(Runtime& runtime, Arguments& arguments) override {
    return function_(runtime, self_, arguments);
  }

 private:
  Value self_;
  std::string_view name_;  // of a table entry
  MethodFunction function_;
};

/// Python's name of the value's type, as error messages show it.
[[nodiscard]] std::string type_name(const Value& value);
/// As Jinja2 names it in messages about undefined attributes: "dict object", "None".
[[nodiscard]] std::string object_type_repr(const Value& value);

}  // namespace m2::jinja
