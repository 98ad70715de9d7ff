// Filters that sort, group or pick by comparing.
#include <algorithm>
#include <memory>
#include <numeric>

#include "jinja/fault.h"
#include "jinja/filter_tools.h"
#include "jinja/operators.h"

namespace m2::jinja {
namespace {

// The order in which sorted() puts items with these keys.
std::vector<size_t> sorted_order(Runtime& runtime, const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(keys.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return reverse ? runtime.less(keys[b], keys[a]) : runtime.less(keys[a], keys[b]);
  });
  return order;
}

Value key_case(const Value& key, bool case_sensitive) {
  return case_sensitive ? key : ignore_case(key);
}

Value filter_dictsort(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("dictsort", arguments, {"case_sensitive", "by", "reverse"}, 0);
  if (input.is_undefined()) raise(input.undefined_message());
  if (!input.is_dict()) raise("dictsort takes a dict, not ", type_name(input));
  const std::string_view by = bound.has(1) ? bound.text(1).view() : "key";
  if (by != "key" && by != "value") raise("dictsort sorts by either 'key' or 'value'");
  const auto& entries = input.as_dict().entries();
  std::vector<Value> keys;
  for (const auto& [key, value] : entries) {
    keys.push_back(key_case(by == "key" ? key : value, bound.flag(0)));
  }
  std::vector<Value> pairs;
  for (const size_t i : sorted_order(runtime, keys, bound.flag(2))) {
    pairs.push_back(Value::tuple({entries[i].first, entries[i].second}));
  }
  return runtime.list(std::move(pairs));
}

// sort(attribute="a,b.c") compares by several attributes.
std::vector<AttributeGetter> attribute_getters(const Value& attribute) {
  std::vector<AttributeGetter> getters;
  if (!attribute.is_string()) {
    getters.emplace_back(attribute);
    return getters;
  }
  std::string_view rest = attribute.view();
  while (true) {
    const size_t comma = std::min(rest.find(','), rest.size());
    getters.emplace_back(Value::string(std::string(rest.substr(0, comma))));
    if (comma == rest.size()) return getters;
    rest.remove_prefix(comma + 1);
  }
}

Value filter_sort(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("sort", arguments, {"reverse", "case_sensitive", "attribute"}, 0);
  const auto getters = attribute_getters(bound.value_or(2, Value::none()));
  const std::vector<Value> items = runtime.to_vector(input);
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const AttributeGetter& getter : getters) {
      parts.push_back(key_case(getter(runtime, item), bound.flag(1)));
    }
    keys.push_back(Value::list(std::move(parts)));
  }
  std::vector<Value> sorted;
  for (const size_t i : sorted_order(runtime, keys, bound.flag(0))) sorted.push_back(items[i]);
  return runtime.list(std::move(sorted));
}

Value filter_groupby(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const Value fallback = bound.value_or(1, Value::none());
  const AttributeGetter getter(bound[0], fallback.is_none() ? Value::missing() : fallback);
  const bool case_sensitive = bound.flag(2);
  const std::vector<Value> items = runtime.to_vector(input);
  std::vector<Value> keys;
  for (const Value& item : items) keys.push_back(key_case(getter(runtime, item), case_sensitive));
  const std::vector<size_t> order = sorted_order(runtime, keys, /*reverse=*/false);
  std::vector<Value> groups;
  for (size_t begin = 0; begin < order.size();) {
    const Value& key = keys[order[begin]];
    std::vector<Value> members;
    size_t end = begin;
    for (; end < order.size() && runtime.equal(keys[order[end]], key); ++end) {
      members.push_back(items[order[end]]);
    }
    if (end == begin) members.push_back(items[order[end++]]);  // a key that differs from itself
    const Value shown = case_sensitive ? key : getter(runtime, members[0]);
    groups.push_back(Value::object(
        std::make_shared<Tuple>(std::vector<Value>{shown, Value::list(std::move(members))},
                                std::vector<std::string>{"grouper", "list"})));
    begin = end;
  }
  return runtime.list(std::move(groups));
}

template <bool greatest>
Value filter_extreme(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound(greatest ? "max" : "min", arguments, {"case_sensitive", "attribute"},
                             0);
  const AttributeGetter getter(bound.value_or(1, Value::none()));
  Cursor cursor(runtime, input);
  auto best = cursor.next();
  if (!best) return Value::undefined("No aggregated item, sequence was empty.");
  Value best_key = key_case(getter(runtime, *best), bound.flag(0));
  while (auto item = cursor.next()) {
    Value key = key_case(getter(runtime, *item), bound.flag(0));
    if (greatest ? runtime.less(best_key, key) : runtime.less(key, best_key)) {
      best = std::move(item);
      best_key = std::move(key);
    }
  }
  return *best;
}

Value filter_unique(Runtime& input_runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("unique", arguments, {"case_sensitive", "attribute"}, 0);
  const AttributeGetter getter(bound.value_or(1, Value::none()));
  const bool case_sensitive = bound.flag(0);
  static_cast<void>(input_runtime);
  auto cursor = std::make_shared<std::optional<Cursor>>();
  auto seen = std::make_shared<Dict>();
  return make_iterator(input.depth() + 1, [=](Runtime& runtime) -> std::optional<Value> {
    if (!*cursor) cursor->emplace(runtime, input);
    while (auto item = (*cursor)->next()) {
      const Value key = key_case(getter(runtime, *item), case_sensitive);
      if (seen->find(key) != nullptr) continue;
      seen->set(key, Value::none());
      return item;
    }
    return std::nullopt;
  });
}

Value filter_sum(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("sum", arguments, {"attribute", "start"}, 0);
  const AttributeGetter getter(bound.value_or(0, Value::none()));
  Value total = bound.value_or(1, Value::integer(0));
  if (total.is_string()) raise("sum() can't sum strings");
  Cursor cursor(runtime, input);
  while (auto item = cursor.next()) {
    total = binary_operation(runtime, BinaryOp::kAdd, total, getter(runtime, *std::move(item)));
  }
  return total;
}

constexpr NamedFunction<FilterFunction> kSortFilters[] = {
    {"dictsort", filter_dictsort},  {"groupby", filter_groupby}, {"max", filter_extreme<true>},
    {"min", filter_extreme<false>}, {"sort", filter_sort},       {"sum", filter_sum},
    {"unique", filter_unique},
};

}  // namespace

FilterTable sort_filters() { return kSortFilters; }

}  // namespace m2::jinja
