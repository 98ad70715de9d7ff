// Attributes, items and slices.
#include <algorithm>

#include "jinja/builtins.h"
#include "jinja/fault.h"
#include "jinja/operators.h"

namespace m2::jinja {
namespace {

Value undefined_attribute(const Value& object, std::string_view name) {
  return Value::undefined(concat("'", object_type_repr(object), "' has no attribute '", name, "'"));
}

// Position of a Python index in a sequence, or nothing when it is outside.
std::optional<size_t> sequence_index(Int index, size_t size) {
  if (index < 0) index += static_cast<Int>(size);
  if (index < 0 || index >= static_cast<Int>(size)) return std::nullopt;
  return static_cast<size_t>(index);
}

Value code_point_at(const Str& text, size_t index) {
  return Value::string(text.substr(text.byte_offset(index), text.byte_offset(index + 1)));
}

// The item, or missing when there is none or the type has no items.
Value find_item(const Value& object, const Value& key) {
  switch (object.kind()) {
    case Kind::kDict: {
      if (key.is_string()) {
        const Value* found = object.as_dict().find(key.view());
        return found == nullptr ? Value::missing() : *found;
      }
      try {
        const Value* found = object.as_dict().find(key);
        return found == nullptr ? Value::missing() : *found;
      } catch (const Fault& fault) {  // a key that cannot be hashed is not in the dict
        if (fault.code() != ErrorCode::kInvalidArgument) throw;
        return Value::missing();
      }
    }
    case Kind::kList:
    case Kind::kTuple: {
      if (!key.is_integral()) return Value::missing();
      const auto index = sequence_index(key.as_int(), object.items().size());
      return index ? object.items()[*index] : Value::missing();
    }
    case Kind::kString: {
      if (!key.is_integral()) return Value::missing();
      const auto index = sequence_index(key.as_int(), object.as_str().length());
      return index ? code_point_at(object.as_str(), *index) : Value::missing();
    }
    case Kind::kRange: {
      if (!key.is_integral()) return Value::missing();
      const auto& range = *object.get_if<Range>();
      const Int index = key.as_int() < 0 ? key.as_int() + range.size() : key.as_int();
      if (index < 0 || index >= range.size()) return Value::missing();
      return Value::integer(range.at(index));
    }
    default:
      return Value::missing();
  }
}

// Python's slice.indices: bounds that are inside, and the number of items.
struct SliceBounds {
  Int start, stop, step, count;
};

SliceBounds slice_bounds(Int size, const Value& start, const Value& stop, const Value& step) {
  const auto bound = [](const Value& value) -> Int {
    if (value.is_undefined()) raise(value.undefined_message());
    if (!value.is_integral()) raise("slice indices must be integers or None");
    constexpr Int kFar = Int{1} << 62;
    return std::clamp(value.as_int(), -kFar, kFar);
  };
  SliceBounds result{};
  result.step = step.is_none() ? 1 : bound(step);
  if (result.step == 0) raise("slice step cannot be zero");
  const bool forward = result.step > 0;
  const Int least = forward ? 0 : -1;
  const Int most = forward ? size : size - 1;
  const auto place = [&](const Value& value, Int fallback) {
    if (value.is_none()) return fallback;
    const Int index = bound(value);
    return std::clamp(index < 0 ? index + size : index, least, most);
  };
  result.start = place(start, forward ? least : most);
  result.stop = place(stop, forward ? most : least);
  const Int span = forward ? result.stop - result.start : result.start - result.stop;
  const Int stride = forward ? result.step : -result.step;
  result.count = span <= 0 ? 0 : (span - 1) / stride + 1;
  return result;
}

Value slice_string(Runtime& runtime, const Str& text, const SliceBounds& bounds) {
  if (bounds.count == 0) return Value::string(Str().as_markup(text.is_markup()));
  if (bounds.step == 1) {
    return runtime.text(text.substr(text.byte_offset(static_cast<size_t>(bounds.start)),
                                    text.byte_offset(static_cast<size_t>(bounds.stop))));
  }
  StrBuilder out = runtime.builder();
  for (Int i = 0; i < bounds.count; ++i) {
    const auto index = static_cast<size_t>(bounds.start + i * bounds.step);
    out.append(text, text.byte_offset(index), text.byte_offset(index + 1));
  }
  runtime.charge(static_cast<uint64_t>(bounds.count));
  return runtime.text(out.take().as_markup(text.is_markup()));
}

}  // namespace

Value find_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) raise(object.undefined_message());
  Value method = find_method(object, name);
  if (!method.is_missing()) return method;
  if (auto* dynamic = object.get_if<DynamicObject>()) return dynamic->attribute(runtime, name);
  if (auto* space = object.get_if<Namespace>()) {
    const Value* found = space->attributes.find(name);
    return found == nullptr ? Value::missing() : *found;
  }
  if (const auto* range = object.get_if<Range>()) {
    if (name == "start") return Value::integer(range->start);
    if (name == "stop") return Value::integer(range->stop);
    if (name == "step") return Value::integer(range->step);
  }
  if (const auto* tuple = object.get_if<Tuple>()) {
    const auto field = std::find(tuple->field_names.begin(), tuple->field_names.end(), name);
    if (field != tuple->field_names.end()) {
      return tuple->items[static_cast<size_t>(field - tuple->field_names.begin())];
    }
  }
  return Value::missing();
}

Value get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  Value found = find_attribute(runtime, object, name);
  if (!found.is_missing()) return found;
  if (object.is_dict()) {
    if (const Value* item = object.as_dict().find(name)) return *item;
  }
  return undefined_attribute(object, name);
}

Value get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) raise(object.undefined_message());
  Value found = find_item(object, key);
  if (!found.is_missing()) return found;
  if (key.is_string()) {
    found = find_attribute(runtime, object, key.view());
    return found.is_missing() ? undefined_attribute(object, key.view()) : found;
  }
  return Value::undefined(
      concat(object_type_repr(object), " has no element ", runtime.repr(key).view()));
}

Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                const Value& step) {
  if (object.is_undefined()) raise(object.undefined_message());
  switch (object.kind()) {
    case Kind::kString: {
      const Str& text = object.as_str();
      return slice_string(runtime, text,
                          slice_bounds(static_cast<Int>(text.length()), start, stop, step));
    }
    case Kind::kList:
    case Kind::kTuple: {
      const auto& items = object.items();
      const SliceBounds bounds = slice_bounds(static_cast<Int>(items.size()), start, stop, step);
      std::vector<Value> result;
      result.reserve(static_cast<size_t>(bounds.count));
      for (Int i = 0; i < bounds.count; ++i) {
        result.push_back(items[static_cast<size_t>(bounds.start + i * bounds.step)]);
      }
      runtime.charge(result.size());
      return object.is(Kind::kList) ? Value::list(std::move(result))
                                    : Value::tuple(std::move(result));
    }
    case Kind::kRange: {
      const auto& range = *object.get_if<Range>();
      const SliceBounds bounds = slice_bounds(range.size(), start, stop, step);
      return Value::object(std::make_shared<Range>(range.at(bounds.start), range.at(bounds.stop),
                                                   range.step * bounds.step));
    }
    default:
      raise("'", type_name(object), "' object cannot be sliced");
  }
}

}  // namespace m2::jinja
