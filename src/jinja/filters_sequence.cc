// Filters on sequences and mappings that keep the order.
#include <algorithm>
#include <memory>

#include "jinja/fault.h"
#include "jinja/filter_tools.h"
#include "jinja/operators.h"

namespace m2::jinja {
namespace {

Value filter_default(Runtime&, const Value& input, Arguments& arguments) {
  const BoundArguments bound("default", arguments, {"default_value", "boolean"}, 0);
  const bool replaced = input.is_undefined() || (bound.flag(1) && !truthy(input));
  return replaced ? bound.value_or(0, Value::string("")) : input;
}

Value filter_length(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("length", arguments, {}, 0);
  const auto length = runtime.length(input);
  if (!length) raise("object of type '", type_name(input), "' has no len()");
  return Value::integer(*length);
}

Value filter_list(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("list", arguments, {}, 0);
  return Value::list(runtime.to_vector(input));
}

Value filter_first(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("first", arguments, {}, 0);
  const auto first = Cursor(runtime, input).next();
  return first ? *first : Value::undefined("No first item, sequence was empty.");
}

bool is_reversible(const Value& value) {
  return Cursor::can_iterate(value) && !value.is(Kind::kIterator);
}

Value filter_last(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("last", arguments, {}, 0);
  if (!is_reversible(input)) raise("'", type_name(input), "' object is not reversible");
  if (input.is(Kind::kList) || input.is(Kind::kTuple) || input.is_string()) {
    const Value last = get_item(runtime, input, Value::integer(-1));
    return last.is_undefined() && *runtime.length(input) == 0
               ? Value::undefined("No last item, sequence was empty.")
               : last;
  }
  const std::vector<Value> items = runtime.to_vector(input);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value filter_reverse(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("reverse", arguments, {}, 0);
  if (input.is_string()) {
    return get_slice(runtime, input, Value::none(), Value::none(), Value::integer(-1));
  }
  if (!Cursor::can_iterate(input)) raise("reverse: the argument must be iterable");
  std::vector<Value> items = runtime.to_vector(input);
  std::reverse(items.begin(), items.end());
  if (!is_reversible(input)) return Value::list(std::move(items));
  const int nesting = input.depth() + 1;
  return make_lazy_list(nesting, [items = std::move(items)](Runtime&) { return items; });
}

Value filter_items(Runtime&, const Value& input, Arguments& arguments) {
  const BoundArguments bound("items", arguments, {}, 0);
  return make_lazy_list(input.depth() + 2, [input](Runtime& runtime) {
    std::vector<Value> items;
    if (input.is_undefined()) return items;
    if (!input.is_dict()) raise("can only get item pairs from a mapping");
    runtime.charge(input.as_dict().size());
    for (const auto& [key, value] : input.as_dict().entries()) {
      items.push_back(Value::tuple({key, value}));
    }
    return items;
  });
}

Value filter_join(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("join", arguments, {"d", "attribute"}, 0);
  const Str separator = bound.has(0) ? runtime.str(bound[0]) : Str();
  const AttributeGetter getter(bound.value_or(1, Value::none()));
  StrBuilder out = runtime.builder();
  Cursor cursor(runtime, input);
  bool first = true;
  while (auto item = cursor.next()) {
    if (!first) out.append(separator);
    first = false;
    out.append(runtime.str(getter(runtime, *std::move(item))));
  }
  return runtime.text(std::move(out));
}

Value filter_batch(Runtime&, const Value& input, Arguments& arguments) {
  const BoundArguments bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const Value size_value = bound[0];
  const Value fill = bound.value_or(1, Value::none());
  return make_lazy_list(input.depth() + fill.depth() + 2, [=](Runtime& runtime) {
    std::vector<Value> rows;
    std::vector<Value> row;
    for (Value& item : runtime.to_vector(input)) {
      if (runtime.equal(Value::integer(static_cast<Int>(row.size())), size_value)) {
        rows.push_back(Value::list(std::move(row)));
        row.clear();
      }
      row.push_back(std::move(item));
    }
    if (row.empty()) return rows;
    if (!fill.is_none() && runtime.less(Value::integer(static_cast<Int>(row.size())), size_value)) {
      const size_t missing = clamp_count(to_index(size_value)) - row.size();
      runtime.charge(4 * missing);
      row.insert(row.end(), missing, fill);
    }
    rows.push_back(Value::list(std::move(row)));
    return rows;
  });
}

Value filter_slice(Runtime&, const Value& input, Arguments& arguments) {
  const BoundArguments bound("slice", arguments, {"slices", "fill_with"}, 1);
  const Value count_value = bound[0];
  const Value fill = bound.value_or(1, Value::none());
  return make_lazy_list(input.depth() + fill.depth() + 2, [=](Runtime& runtime) {
    const std::vector<Value> items = runtime.to_vector(input);
    const Int count = to_index(count_value);
    if (count == 0) raise("integer division or modulo by zero");
    std::vector<Value> columns;
    if (count < 0) return columns;
    const Int per_column = static_cast<Int>(items.size()) / count;
    const Int with_extra = static_cast<Int>(items.size()) % count;
    auto next = items.begin();
    for (Int i = 0; i < count; ++i) {
      runtime.charge(8);
      const auto size = static_cast<ptrdiff_t>(per_column + (i < with_extra ? 1 : 0));
      std::vector<Value> column(next, next + size);
      next += size;
      if (!fill.is_none() && i >= with_extra) column.push_back(fill);
      columns.push_back(Value::list(std::move(column)));
    }
    return columns;
  });
}

// ---- map, select, reject ----

using Mapper = std::function<Value(Runtime&, const Value&)>;

// Jinja2 looks at the arguments when the first item is wanted.
Mapper make_mapper(Arguments arguments) {
  auto& keyword = arguments.keyword;
  const auto named = [&](std::string_view name) {
    return std::find_if(keyword.begin(), keyword.end(),
                        [&](const auto& entry) { return entry.first == name; });
  };
  if (arguments.positional.empty() && named("attribute") != keyword.end()) {
    const Value attribute = named("attribute")->second;
    const Value fallback =
        named("default") != keyword.end() ? named("default")->second : Value::none();
    for (const auto& [name, value] : keyword) {
      if (name != "attribute" && name != "default") {
        raise("map: unexpected keyword argument '", name.view(), "'");
      }
    }
    return [getter = AttributeGetter(attribute, fallback.is_none() ? Value::missing() : fallback)](
               Runtime& runtime, const Value& item) { return getter(runtime, item); };
  }
  if (arguments.positional.empty()) raise("map requires a filter argument");
  const Value name = arguments.positional[0];
  const FilterFunction filter = name.is_string() ? find_filter(name.view()) : nullptr;
  if (filter == nullptr) raise("map: no filter of that name");
  arguments.positional.erase(arguments.positional.begin());
  return [filter, arguments](Runtime& runtime, const Value& item) {
    Arguments copy = arguments;
    return filter(runtime, item, copy);
  };
}

// The truth of an item, of one of its attributes, or of a test applied to it.
Mapper make_predicate(Arguments arguments, bool of_attribute) {
  auto& positional = arguments.positional;
  AttributeGetter getter(Value::none());
  if (of_attribute) {
    if (positional.empty()) raise("missing parameter for attribute name");
    getter = AttributeGetter(positional[0]);
    positional.erase(positional.begin());
  }
  if (positional.empty()) {
    return [getter](Runtime& runtime, const Value& item) { return getter(runtime, item); };
  }
  const Value name = positional[0];
  const TestFunction test = name.is_string() ? find_test(name.view()) : nullptr;
  if (test == nullptr) raise("no test of that name");
  positional.erase(positional.begin());
  return [getter, test, arguments](Runtime& runtime, const Value& item) {
    Arguments copy = arguments;
    return Value::boolean(test(runtime, getter(runtime, item), copy));
  };
}

int nesting_of(const Value& input, const Arguments& arguments) {
  int depth = input.depth();
  for (const Value& value : arguments.positional) depth = std::max(depth, value.depth());
  for (const auto& [name, value] : arguments.keyword) depth = std::max(depth, value.depth());
  return depth + 1;
}

// A generator whose parts are made when the first item is wanted, and not at all for empty input.
struct Pipeline {
  Value input;
  Arguments arguments;
  Mapper mapper = {};
  std::optional<Cursor> cursor = {};

  template <typename Make>
  bool start(Runtime& runtime, const Make& make) {
    if (cursor) return true;
    if (!truthy(input)) return false;
    mapper = make(arguments);
    cursor.emplace(runtime, input);
    return true;
  }
};

Value filter_map(Runtime&, const Value& input, Arguments& arguments) {
  auto pipeline = std::make_shared<Pipeline>(Pipeline{input, arguments});
  return make_iterator(nesting_of(input, arguments),
                       [pipeline](Runtime& runtime) -> std::optional<Value> {
                         if (!pipeline->start(runtime, make_mapper)) return std::nullopt;
                         auto item = pipeline->cursor->next();
                         if (!item) return std::nullopt;
                         return pipeline->mapper(runtime, *item);
                       });
}

template <bool of_attribute, bool wanted>
Value filter_select(Runtime&, const Value& input, Arguments& arguments) {
  auto pipeline = std::make_shared<Pipeline>(Pipeline{input, arguments});
  return make_iterator(nesting_of(input, arguments),
                       [pipeline](Runtime& runtime) -> std::optional<Value> {
                         const auto make = [](const Arguments& given) {
                           return make_predicate(given, of_attribute);
                         };
                         if (!pipeline->start(runtime, make)) return std::nullopt;
                         while (auto item = pipeline->cursor->next()) {
                           if (truthy(pipeline->mapper(runtime, *item)) == wanted) return item;
                         }
                         return std::nullopt;
                       });
}

Value filter_attr(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("attr", arguments, {"name"}, 1);
  const std::string_view name = bound.text(0).view();
  const Value found = find_attribute(runtime, input, name);
  if (!found.is_missing()) return found;
  return Value::undefined(concat("'", object_type_repr(input), "' has no attribute '", name, "'"));
}

constexpr NamedFunction<FilterFunction> kSequenceFilters[] = {
    {"attr", filter_attr},
    {"batch", filter_batch},
    {"count", filter_length},
    {"d", filter_default},
    {"default", filter_default},
    {"first", filter_first},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"length", filter_length},
    {"list", filter_list},
    {"map", filter_map},
    {"reject", filter_select<false, false>},
    {"rejectattr", filter_select<true, false>},
    {"reverse", filter_reverse},
    {"select", filter_select<false, true>},
    {"selectattr", filter_select<true, true>},
    {"slice", filter_slice},
};

}  // namespace

FilterTable sequence_filters() { return kSequenceFilters; }

}  // namespace m2::jinja
