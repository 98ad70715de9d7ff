#include "jinja/objects.h"

#include "jinja/fault.h"
#include "jinja/runtime.h"

namespace m2::jinja {

Int Range::size() const {
  const Int span = step > 0 ? stop - start : start - stop;
  const Int stride = step > 0 ? step : -step;
  return span <= 0 ? 0 : (span - 1) / stride + 1;
}

Value DictView::at(size_t index) const {
  const auto& [key, value] = dict->entries()[index];
  switch (part) {
    case Part::kKeys:
      return key;
    case Part::kValues:
      return value;
    default:
      return Value::tuple({key, value});
  }
}

Iterator::Iterator(int nesting) : Object(Kind::kIterator, nesting) {}

Value DynamicObject::call(Runtime&, Arguments&) { raise("'", type_name(), "' is not callable"); }

Value DynamicObject::attribute(Runtime&, std::string_view) { return Value::missing(); }

std::string type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return value.as_str().is_markup() ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kRange:
      return "range";
    case Kind::kDictView:
      return "dict_view";
    case Kind::kIterator:
      return "generator";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kObject:
      return value.get_if<DynamicObject>()->type_name();
  }
  return "object";
}

std::string object_type_repr(const Value& value) {
  return value.is_none() ? "None" : type_name(value) + " object";
}

}  // namespace m2::jinja
