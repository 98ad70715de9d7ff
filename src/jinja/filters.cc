// The table of filters, what they share, and those on numbers.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "jinja/fault.h"
#include "jinja/filter_tools.h"
#include "jinja/format.h"
#include "jinja/literals.h"
#include "jinja/operators.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

class LambdaIterator final : public Iterator {
 public:
  LambdaIterator(int nesting, std::function<std::optional<Value>(Runtime&)> next)
      : Iterator(nesting), next_(std::move(next)) {}
  [[nodiscard]] std::optional<Value> next(Runtime& runtime) override {
    runtime.check_stack();
    return next_(runtime);
  }

 private:
  std::function<std::optional<Value>(Runtime&)> next_;
};

Value filter_abs(Runtime&, const Value& input, Arguments& arguments) {
  const BoundArguments bound("abs", arguments, {}, 0);
  if (input.is(Kind::kFloat)) return Value::floating(std::abs(input.as_float()));
  if (!input.is_integral()) raise("bad operand type for abs(): '", type_name(input), "'");
  return input.as_int() < 0 ? negate(input) : Value::integer(input.as_int());
}

std::optional<Int> truncate(double value) {
  if (!(std::abs(value) < 0x1p126)) return std::nullopt;
  return static_cast<Int>(value);
}

Value filter_int(Runtime&, const Value& input, Arguments& arguments) {
  const BoundArguments bound("int", arguments, {"default", "base"}, 0);
  if (input.is_undefined()) raise(input.undefined_message());
  const Value fallback = bound.value_or(0, Value::integer(0));
  if (input.is_string()) {
    const Int base = bound.integer_or(1, 10);
    if (base == 0 || (base >= 2 && base <= 36)) {
      if (const auto value = parse_int(input.view(), static_cast<int>(base))) {
        return Value::integer(*value);
      }
    }
    const auto real = parse_float(input.view());
    const auto whole = real ? truncate(*real) : std::nullopt;
    return whole ? Value::integer(*whole) : fallback;
  }
  if (input.is_integral()) return Value::integer(input.as_int());
  if (!input.is(Kind::kFloat)) return fallback;
  const auto whole = truncate(input.as_float());
  if (whole) return Value::integer(*whole);
  if (std::isnan(input.as_float())) return fallback;
  raise("cannot convert float infinity to integer");
}

Value filter_float(Runtime&, const Value& input, Arguments& arguments) {
  const BoundArguments bound("float", arguments, {"default"}, 0);
  if (input.is_undefined()) raise(input.undefined_message());
  const Value fallback = bound.value_or(0, Value::floating(0));
  if (input.is_number()) return Value::floating(input.as_float());
  if (!input.is_string()) return fallback;
  const auto value = parse_float(input.view());
  return value ? Value::floating(*value) : fallback;
}

// round(value, digits) of Python: half to even on the exact decimal value.
double round_float(double value, int digits) {
  constexpr int kMostDigits = 323;
  constexpr int kLeastDigits = -308;
  if (!std::isfinite(value) || digits > kMostDigits) return value;
  if (digits < kLeastDigits) return std::copysign(0.0, value);
  if (digits >= 0) {
    return std::strtod(format_float(value, 'f', digits, false).c_str(), nullptr);
  }
  const double unit = std::pow(10.0, -digits);
  return std::nearbyint(value / unit) * unit;
}

Value round_integer(Int value, Int digits) {
  if (digits >= 0) return Value::integer(value);
  constexpr Int kMostDigits = 37;  // twice that power of ten still fits
  if (digits < -kMostDigits) raise_unsupported("rounding an integer to more than 37 digits");
  Int unit = 1;
  for (Int i = 0; i < -digits; ++i) unit *= 10;
  Int rest = value % unit;
  Int whole = value - rest;
  if (rest < 0) rest = -rest;
  const bool up = rest * 2 > unit || (rest * 2 == unit && (whole / unit) % 2 != 0);
  if (!up) return Value::integer(whole);
  if (__builtin_add_overflow(whole, value < 0 ? -unit : unit, &whole)) {
    raise_unsupported("integer has more than 128 bits");
  }
  return Value::integer(whole);
}

Value round_common(const Value& input, Int precision) {
  if (input.is_integral()) return round_integer(input.as_int(), precision);
  if (!input.is(Kind::kFloat)) {
    raise("type ", type_name(input), " doesn't define __round__ method");
  }
  const auto digits = static_cast<int>(std::clamp<Int>(precision, -400, 400));
  return Value::floating(round_float(input.as_float(), digits));
}

Value filter_round(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("round", arguments, {"precision", "method"}, 0);
  if (input.is_undefined()) raise(input.undefined_message());
  const std::string_view method = bound.has(1) ? bound.text(1).view() : "common";
  const Int precision = bound.integer_or(0, 0);
  if (method == "common") return round_common(input, precision);
  if (method != "ceil" && method != "floor") raise("method must be common, ceil or floor");
  const Value unit =
      binary_operation(runtime, BinaryOp::kPower, Value::integer(10), Value::integer(precision));
  Value scaled = binary_operation(runtime, BinaryOp::kMultiply, input, unit);
  if (scaled.is(Kind::kFloat)) {
    const double real = scaled.as_float();
    const auto whole = truncate(method == "ceil" ? std::ceil(real) : std::floor(real));
    if (!whole) raise("cannot convert float to integer");
    scaled = Value::integer(*whole);
  }
  return binary_operation(runtime, BinaryOp::kDivide, scaled, unit);
}

Value filter_filesizeformat(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("filesizeformat", arguments, {"binary"}, 0);
  Arguments none;
  const bool convertible = input.is_number() || (input.is_string() && parse_float(input.view()));
  if (!convertible) raise("filesizeformat takes a number");
  const double bytes = filter_float(runtime, input, none).as_float();
  const bool binary = bound.flag(0);
  const double base = binary ? 1024 : 1000;
  if (bytes == 1) return Value::string("1 Byte");
  if (bytes < base) {
    const auto whole = truncate(bytes);
    if (!whole) raise("cannot convert float to integer");
    return Value::string(
        format_magnitude(*whole < 0 ? -*whole : *whole, 10).insert(0, *whole < 0 ? "-" : "") +
        " Bytes");
  }
  constexpr std::string_view kPrefixes = "kMGTPEZY";
  double unit = base;
  size_t i = 0;
  for (; i + 1 < kPrefixes.size() && bytes >= unit * base; ++i) unit *= base;
  std::string prefix(1, kPrefixes[i]);
  if (binary) prefix = (i == 0 ? "K" : prefix) + "i";
  return Value::string(format_float(bytes / unit, 'f', 1, false) + " " + prefix + "B");
}

constexpr NamedFunction<FilterFunction> kNumberFilters[] = {
    {"abs", filter_abs},     {"filesizeformat", filter_filesizeformat},
    {"float", filter_float}, {"int", filter_int},
    {"round", filter_round},
};

}  // namespace

FilterTable number_filters() { return kNumberFilters; }

FilterFunction find_filter(std::string_view name) {
  for (const FilterTable table :
       {text_filters(), sequence_filters(), output_filters(), number_filters(), sort_filters()}) {
    for (const auto& entry : table) {
      if (entry.name == name) return entry.function;
    }
  }
  return nullptr;
}

Value make_iterator(int nesting, std::function<std::optional<Value>(Runtime&)> next) {
  return Value::object(std::make_shared<LambdaIterator>(nesting, std::move(next)));
}

Value make_lazy_list(int nesting, std::function<std::vector<Value>(Runtime&)> make) {
  return make_iterator(nesting,
                       [make = std::move(make), items = std::vector<Value>(), position = size_t{0},
                        made = false](Runtime& runtime) mutable -> std::optional<Value> {
                         if (!made) items = make(runtime);
                         made = true;
                         if (position == items.size()) return std::nullopt;
                         return items[position++];
                       });
}

AttributeGetter::AttributeGetter(const Value& attribute, Value fallback)
    : fallback_(std::move(fallback)) {
  if (attribute.is_none()) return;
  if (!attribute.is_string()) {
    path_.push_back(attribute);
    return;
  }
  std::string_view rest = attribute.view();
  while (true) {
    const size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view part = rest.substr(0, dot);
    const bool number = !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    const auto index = number ? parse_int(part, 10) : std::nullopt;
    path_.push_back(index ? Value::integer(*index) : Value::string(std::string(part)));
    if (dot == rest.size()) break;
    rest.remove_prefix(dot + 1);
  }
}

Value AttributeGetter::operator()(Runtime& runtime, Value item) const {
  for (const Value& part : path_) {
    item = get_item(runtime, item, part);
    if (item.is_undefined() && !fallback_.is_missing()) item = fallback_;
  }
  return item;
}

Value ignore_case(const Value& value) {
  if (!value.is_string()) return value;
  return Value::string(value.as_str().derive(unicode::lower(value.view())));
}

Str soft_str(Runtime& runtime, const Value& value) {
  return value.is_string() ? value.as_str() : runtime.str(value);
}

}  // namespace m2::jinja
