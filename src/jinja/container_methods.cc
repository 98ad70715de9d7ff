// Methods of lists, tuples, dicts and numbers.
#include <algorithm>
#include <cmath>

#include "jinja/fault.h"
#include "jinja/methods.h"
#include "jinja/operators.h"
#include "jinja/runtime.h"

namespace m2::jinja {
namespace {

using Keywords = BoundArguments::Keywords;

std::vector<Value>& items_of(Runtime& runtime, const Value& self) {
  runtime.note_mutation(self);
  return self.get_if<List>()->items;
}

void note_nesting(const Value& container, const Value& item) {
  Object& object = *container.as_object();
  object.depth = std::max(object.depth, item.depth() + 1);
  if (object.depth > kMaxValueDepth) raise_exhausted("values are nested too deeply");
}

Value list_append(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("append", arguments, {"object"}, 1, Keywords::kForbidden);
  note_nesting(self, bound[0]);
  items_of(runtime, self).push_back(bound[0]);
  return Value::none();
}

Value list_extend(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("extend", arguments, {"iterable"}, 1, Keywords::kForbidden);
  for (Value& item : runtime.to_vector(bound[0])) {
    note_nesting(self, item);
    items_of(runtime, self).push_back(std::move(item));
  }
  return Value::none();
}

Value list_insert(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("insert", arguments, {"index", "object"}, 2, Keywords::kForbidden);
  note_nesting(self, bound[1]);
  auto& items = items_of(runtime, self);
  const Int size = static_cast<Int>(items.size());
  Int index = bound.integer(0);
  if (index < 0) index += size;
  runtime.charge(items.size() / 64);
  items.insert(items.begin() + static_cast<ptrdiff_t>(std::clamp<Int>(index, 0, size)), bound[1]);
  return Value::none();
}

Value list_pop(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("pop", arguments, {"index"}, 0, Keywords::kForbidden);
  auto& items = items_of(runtime, self);
  if (items.empty()) raise("pop from empty list");
  const Int size = static_cast<Int>(items.size());
  Int index = bound.integer_or(0, -1);
  if (index < 0) index += size;
  if (index < 0 || index >= size) raise("pop index out of range");
  runtime.charge(items.size() / 64);
  const auto place = items.begin() + static_cast<ptrdiff_t>(index);
  Value item = std::move(*place);
  items.erase(place);
  return item;
}

Value list_remove(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("remove", arguments, {"value"}, 1, Keywords::kForbidden);
  auto& items = items_of(runtime, self);
  const auto place = std::find_if(items.begin(), items.end(),
                                  [&](const Value& item) { return runtime.equal(item, bound[0]); });
  if (place == items.end()) raise("list.remove(x): x not in list");
  items.erase(place);
  return Value::none();
}

Value list_reverse(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("reverse", arguments, {}, 0);
  auto& items = items_of(runtime, self);
  runtime.charge(items.size());
  std::reverse(items.begin(), items.end());
  return Value::none();
}

Value list_sort(Runtime& runtime, const Value& self, Arguments& arguments) {
  if (!arguments.positional.empty()) raise("sort() takes no positional arguments");
  const BoundArguments bound("sort", arguments, {"key", "reverse"}, 0);
  if (bound.has(0) && !bound[0].is_none()) raise_unsupported("list.sort with a key function");
  auto& items = items_of(runtime, self);
  const bool reverse = bound.flag(1);
  std::stable_sort(items.begin(), items.end(), [&](const Value& a, const Value& b) {
    return reverse ? runtime.less(b, a) : runtime.less(a, b);
  });
  return Value::none();
}

Value container_clear(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("clear", arguments, {}, 0);
  runtime.note_mutation(self);
  self.as_object()->clear();
  return Value::none();
}

Value list_copy(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("copy", arguments, {}, 0);
  return runtime.list(self.items());
}

Value sequence_count(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("count", arguments, {"value"}, 1, Keywords::kForbidden);
  Int count = 0;
  for (const Value& item : self.items()) count += runtime.equal(item, bound[0]) ? 1 : 0;
  return Value::integer(count);
}

Value sequence_index(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("index", arguments, {"value", "start", "stop"}, 1,
                             Keywords::kForbidden);
  const auto& items = self.items();
  const Int size = static_cast<Int>(items.size());
  const auto place = [&](size_t argument, Int fallback) {
    const Int index = bound.integer_or(argument, fallback);
    return std::clamp<Int>(index < 0 ? index + size : index, 0, size);
  };
  const Int stop = place(2, size);
  for (Int i = place(1, 0); i < stop; ++i) {
    if (runtime.equal(items[static_cast<size_t>(i)], bound[0])) return Value::integer(i);
  }
  raise(runtime.repr(bound[0]).view(), " is not in the sequence");
}

Value range_count(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("count", arguments, {"value"}, 1, Keywords::kForbidden);
  return Value::integer(runtime.contains(self, bound[0]) ? 1 : 0);
}

Value range_index(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("index", arguments, {"value"}, 1, Keywords::kForbidden);
  if (!bound[0].is_number() || !runtime.contains(self, bound[0])) raise("value is not in range");
  const auto& range = *self.get_if<Range>();
  return Value::integer((static_cast<Int>(bound[0].as_float()) - range.start) / range.step);
}

std::shared_ptr<Dict> shared_dict(const Value& self) {
  return std::static_pointer_cast<Dict>(self.as_object());
}

template <DictView::Part part>
Value dict_view(Runtime&, const Value& self, Arguments& arguments) {
  const BoundArguments bound("dict view", arguments, {}, 0);
  return Value::object(std::make_shared<DictView>(shared_dict(self), part));
}

Value dict_get(Runtime&, const Value& self, Arguments& arguments) {
  const BoundArguments bound("get", arguments, {"key", "default"}, 1, Keywords::kForbidden);
  const Value* found = self.as_dict().find(bound[0]);
  return found == nullptr ? bound.value_or(1, Value::none()) : *found;
}

Value dict_copy(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("copy", arguments, {}, 0);
  runtime.charge(self.as_dict().size());
  Value copy = Value::dict();
  for (const auto& [key, value] : self.as_dict().entries()) copy.as_dict().set(key, value);
  return copy;
}

Value dict_pop(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("pop", arguments, {"key", "default"}, 1, Keywords::kForbidden);
  const Value* found = self.as_dict().find(bound[0]);
  if (found == nullptr) {
    if (bound.has(1)) return bound[1];
    raise("pop: there is no key ", runtime.repr(bound[0]).view());
  }
  Value value = *found;
  runtime.note_mutation(self);
  runtime.charge(self.as_dict().size());
  self.as_dict().erase(bound[0]);
  return value;
}

Value dict_popitem(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("popitem", arguments, {}, 0);
  if (self.as_dict().size() == 0) raise("popitem(): dictionary is empty");
  const auto [key, value] = self.as_dict().entries().back();
  runtime.note_mutation(self);
  runtime.charge(self.as_dict().size());
  self.as_dict().erase(key);
  return Value::tuple({key, value});
}

Value dict_setdefault(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("setdefault", arguments, {"key", "default"}, 1, Keywords::kForbidden);
  if (const Value* found = self.as_dict().find(bound[0])) return *found;
  runtime.note_mutation(self);
  Value value = bound.value_or(1, Value::none());
  self.as_dict().set(bound[0], value);
  return value;
}

Value dict_update(Runtime& runtime, const Value& self, Arguments& arguments) {
  Value added = Value::dict();
  fill_dict(runtime, added.as_dict(), "update", arguments);
  runtime.note_mutation(self);
  for (const auto& [key, value] : added.as_dict().entries()) self.as_dict().set(key, value);
  return Value::none();
}

Value float_is_integer(Runtime&, const Value& self, Arguments& arguments) {
  const BoundArguments bound("is_integer", arguments, {}, 0);
  return Value::boolean(std::isfinite(self.as_float()) &&
                        std::floor(self.as_float()) == self.as_float());
}

Value int_bit_length(Runtime&, const Value& self, Arguments& arguments) {
  const BoundArguments bound("bit_length", arguments, {}, 0);
  auto rest = static_cast<unsigned __int128>(self.as_int() < 0 ? -self.as_int() : self.as_int());
  Int length = 0;
  for (; rest != 0; rest >>= 1) ++length;
  return Value::integer(length);
}

constexpr NamedFunction<MethodFunction> kListMethods[] = {
    {"append", list_append},   {"clear", container_clear}, {"copy", list_copy},
    {"count", sequence_count}, {"extend", list_extend},    {"index", sequence_index},
    {"insert", list_insert},   {"pop", list_pop},          {"remove", list_remove},
    {"reverse", list_reverse}, {"sort", list_sort},
};

constexpr NamedFunction<MethodFunction> kTupleMethods[] = {
    {"count", sequence_count},
    {"index", sequence_index},
};

constexpr NamedFunction<MethodFunction> kRangeMethods[] = {
    {"count", range_count},
    {"index", range_index},
};

constexpr NamedFunction<MethodFunction> kDictMethods[] = {
    {"clear", container_clear},
    {"copy", dict_copy},
    {"get", dict_get},
    {"items", dict_view<DictView::Part::kItems>},
    {"keys", dict_view<DictView::Part::kKeys>},
    {"pop", dict_pop},
    {"popitem", dict_popitem},
    {"setdefault", dict_setdefault},
    {"update", dict_update},
    {"values", dict_view<DictView::Part::kValues>},
};

constexpr NamedFunction<MethodFunction> kFloatMethods[] = {
    {"is_integer", float_is_integer},
};

constexpr NamedFunction<MethodFunction> kIntMethods[] = {
    {"bit_length", int_bit_length},
};

MethodTable methods_of(Kind kind) {
  switch (kind) {
    case Kind::kString:
      return string_methods();
    case Kind::kList:
      return kListMethods;
    case Kind::kTuple:
      return kTupleMethods;
    case Kind::kDict:
      return kDictMethods;
    case Kind::kRange:
      return kRangeMethods;
    case Kind::kFloat:
      return kFloatMethods;
    case Kind::kInt:
    case Kind::kBool:
      return kIntMethods;
    default:
      return {};
  }
}

}  // namespace

Value find_method(const Value& self, std::string_view name) {
  for (const auto& entry : methods_of(self.kind())) {
    if (entry.name == name) {
      return Value::object(std::make_shared<BoundMethod>(self, entry.name, entry.function));
    }
  }
  return Value::missing();
}

}  // namespace m2::jinja
