// Shared by the files that hold filters.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "jinja/builtins.h"
#include "jinja/runtime.h"

namespace m2::jinja {

using FilterTable = std::span<const NamedFunction<FilterFunction>>;

[[nodiscard]] FilterTable text_filters();
[[nodiscard]] FilterTable number_filters();
[[nodiscard]] FilterTable sequence_filters();
[[nodiscard]] FilterTable sort_filters();
[[nodiscard]] FilterTable output_filters();

/// A generator that asks `next` for each item.
[[nodiscard]] Value make_iterator(int nesting, std::function<std::optional<Value>(Runtime&)> next);
/// A generator over what `make` returns when the first item is wanted.
[[nodiscard]] Value make_lazy_list(int nesting, std::function<std::vector<Value>(Runtime&)> make);

/// What the `attribute` argument of filters looks up: "a.b.0" is a path of subscripts.
class AttributeGetter {
 public:
  /// None stands for the item itself. A default that is not missing replaces what is undefined.
  explicit AttributeGetter(const Value& attribute, Value fallback = Value::missing());
  [[nodiscard]] Value operator()(Runtime& runtime, Value item) const;

 private:
  std::vector<Value> path_;
  Value fallback_;
};

/// Strings in lower case, other values as they are.
[[nodiscard]] Value ignore_case(const Value& value);

/// The text of a value: strings as they are, others as str() has them.
[[nodiscard]] Str soft_str(Runtime& runtime, const Value& value);

}  // namespace m2::jinja
