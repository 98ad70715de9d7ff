// What can follow `is`.
#include <algorithm>
#include <iterator>

#include "base/utf8.h"
#include "jinja/builtins.h"
#include "jinja/fault.h"
#include "jinja/operators.h"
#include "jinja/runtime.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

// Tests without arguments that only look at the value.
template <bool (*predicate)(const Value&)>
bool simple(Runtime&, const Value& value, Arguments& arguments) {
  const BoundArguments bound("test", arguments, {}, 0);
  return predicate(value);
}

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_true(const Value& v) { return v.is(Kind::kBool) && v.as_bool(); }
bool is_false(const Value& v) { return v.is(Kind::kBool) && !v.as_bool(); }
bool is_integer(const Value& v) { return v.is(Kind::kInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is_string(); }
bool is_mapping(const Value& v) { return v.is_dict(); }
bool is_escaped(const Value& v) { return v.is_string() && v.as_str().is_markup(); }

// Has a length and can be subscribed; undefined passes, as its __getitem__ exists.
bool is_sequence(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
      return true;
    default:
      return false;
  }
}

bool is_iterable(Runtime&, const Value& v, Arguments& arguments) {
  const BoundArguments bound("iterable", arguments, {}, 0);
  return Cursor::can_iterate(v);
}

bool is_callable(Runtime&, const Value& v, Arguments& arguments) {
  const BoundArguments bound("callable", arguments, {}, 0);
  if (v.is_undefined()) return true;  // calling it raises, but it has the method
  const auto* object = v.get_if<DynamicObject>();
  return object != nullptr && object->callable();
}

bool has_remainder(Runtime& runtime, const Value& value, Int divisor, Int rest) {
  const Value result = binary_operation(runtime, BinaryOp::kModulo, value, Value::integer(divisor));
  return runtime.equal(result, Value::integer(rest));
}

bool is_odd(Runtime& runtime, const Value& v, Arguments& arguments) {
  const BoundArguments bound("odd", arguments, {}, 0);
  return has_remainder(runtime, v, 2, 1);
}

bool is_even(Runtime& runtime, const Value& v, Arguments& arguments) {
  const BoundArguments bound("even", arguments, {}, 0);
  return has_remainder(runtime, v, 2, 0);
}

bool is_divisible_by(Runtime& runtime, const Value& v, Arguments& arguments) {
  const BoundArguments bound("divisibleby", arguments, {"num"}, 1);
  const Value rest = binary_operation(runtime, BinaryOp::kModulo, v, bound[0]);
  return runtime.equal(rest, Value::integer(0));
}

// All cased characters have the wanted case, and there is one.
bool has_case(Runtime& runtime, const Value& v, bool (*wanted)(char32_t), bool (*other)(char32_t)) {
  bool found = false;
  for (const char32_t c : utf8::to_utf32(runtime.str(v).view())) {
    if (other(c) || unicode::is_title(c)) return false;
    found = found || wanted(c);
  }
  return found;
}

bool is_lower(Runtime& runtime, const Value& v, Arguments& arguments) {
  const BoundArguments bound("lower", arguments, {}, 0);
  return has_case(runtime, v, unicode::is_lower, unicode::is_upper);
}

bool is_upper(Runtime& runtime, const Value& v, Arguments& arguments) {
  const BoundArguments bound("upper", arguments, {}, 0);
  return has_case(runtime, v, unicode::is_upper, unicode::is_lower);
}

bool is_in(Runtime& runtime, const Value& v, Arguments& arguments) {
  const BoundArguments bound("in", arguments, {"seq"}, 1);
  return runtime.contains(bound[0], v);
}

// Python's identity, as far as it is defined: objects by reference, plain values by type and value.
bool is_same(Runtime& runtime, const Value& v, Arguments& arguments) {
  const BoundArguments bound("sameas", arguments, {"other"}, 1);
  const Value& other = bound[0];
  if (v.kind() != other.kind()) return false;
  return v.kind() >= Kind::kList ? v.as_object() == other.as_object() : runtime.equal(v, other);
}

template <CompareOp op>
bool compares(Runtime& runtime, const Value& v, Arguments& arguments) {
  const BoundArguments bound("comparison", arguments, {"a", "b"}, 1,
                             BoundArguments::Keywords::kForbidden);
  if (bound.has(1)) raise("comparison expects 2 arguments");
  return compare_values(runtime, op, v, bound[0]);
}

bool is_filter(Runtime&, const Value& v, Arguments& arguments) {
  const BoundArguments bound("filter", arguments, {}, 0);
  return v.is_string() && find_filter(v.view()) != nullptr;
}

bool is_test(Runtime&, const Value& v, Arguments& arguments) {
  const BoundArguments bound("test", arguments, {}, 0);
  return v.is_string() && find_test(v.view()) != nullptr;
}

constexpr NamedFunction<TestFunction> kTests[] = {
    {"!=", compares<CompareOp::kNotEqual>},
    {"<", compares<CompareOp::kLess>},
    {"<=", compares<CompareOp::kLessEqual>},
    {"==", compares<CompareOp::kEqual>},
    {">", compares<CompareOp::kGreater>},
    {">=", compares<CompareOp::kGreaterEqual>},
    {"boolean", simple<is_boolean>},
    {"callable", is_callable},
    {"defined", simple<is_defined>},
    {"divisibleby", is_divisible_by},
    {"eq", compares<CompareOp::kEqual>},
    {"equalto", compares<CompareOp::kEqual>},
    {"escaped", simple<is_escaped>},
    {"even", is_even},
    {"false", simple<is_false>},
    {"filter", is_filter},
    {"float", simple<is_float>},
    {"ge", compares<CompareOp::kGreaterEqual>},
    {"greaterthan", compares<CompareOp::kGreater>},
    {"gt", compares<CompareOp::kGreater>},
    {"in", is_in},
    {"integer", simple<is_integer>},
    {"iterable", is_iterable},
    {"le", compares<CompareOp::kLessEqual>},
    {"lessthan", compares<CompareOp::kLess>},
    {"lower", is_lower},
    {"lt", compares<CompareOp::kLess>},
    {"mapping", simple<is_mapping>},
    {"ne", compares<CompareOp::kNotEqual>},
    {"none", simple<is_none>},
    {"number", simple<is_number>},
    {"odd", is_odd},
    {"sameas", is_same},
    {"sequence", simple<is_sequence>},
    {"string", simple<is_string>},
    {"test", is_test},
    {"true", simple<is_true>},
    {"undefined", simple<is_undefined>},
    {"upper", is_upper},
};

}  // namespace

TestFunction find_test(std::string_view name) {
  const auto* entry = std::lower_bound(
      std::begin(kTests), std::end(kTests), name,
      [](const auto& test, std::string_view wanted) { return test.name < wanted; });
  return entry != std::end(kTests) && entry->name == name ? entry->function : nullptr;
}

}  // namespace m2::jinja
