#include "jinja/operators.h"

#include <cmath>
#include <string>

#include "jinja/fault.h"

namespace m2::jinja {
namespace {

std::string_view symbol(BinaryOp op) {
  switch (op) {
    case BinaryOp::kAdd:
      return "+";
    case BinaryOp::kSubtract:
      return "-";
    case BinaryOp::kMultiply:
      return "*";
    case BinaryOp::kDivide:
      return "/";
    case BinaryOp::kFloorDivide:
      return "//";
    case BinaryOp::kModulo:
      return "%";
    case BinaryOp::kPower:
      return "**";
    case BinaryOp::kAnd:
      return "and";
    case BinaryOp::kOr:
      return "or";
  }
  return "";
}

[[noreturn]] void unsupported_operands(BinaryOp op, const Value& a, const Value& b) {
  raise("unsupported operand type(s) for ", symbol(op), ": '", type_name(a), "' and '",
        type_name(b), "'");
}

// The least integer is refused as well, so that every integer has a negative.
Int checked(bool overflow, const Int& value) {
  constexpr Int kLeast = -static_cast<Int>(~static_cast<unsigned __int128>(0) >> 1);
  if (overflow || value < kLeast) raise_unsupported("integer has more than 128 bits");
  return value;
}

Int add(Int a, Int b) {
  Int result = 0;
  const bool overflow = __builtin_add_overflow(a, b, &result);
  return checked(overflow, result);
}

Int subtract(Int a, Int b) {
  Int result = 0;
  const bool overflow = __builtin_sub_overflow(a, b, &result);
  return checked(overflow, result);
}

Int multiply(Int a, Int b) {
  Int result = 0;
  const bool overflow = __builtin_mul_overflow(a, b, &result);
  return checked(overflow, result);
}

Int floor_divide(Int a, Int b) {
  const Int quotient = a / b;
  return quotient - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

Int floor_modulo(Int a, Int b) {
  const Int rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value integer_power(Int base, Int exponent) {
  if (exponent < 0) {
    if (base == 0) raise("0.0 cannot be raised to a negative power");
    return Value::floating(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  Int result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0) result = multiply(result, base);
    exponent >>= 1;
    if (exponent > 0) base = multiply(base, base);
  }
  return Value::integer(result);
}

Value integer_operation(BinaryOp op, Int a, Int b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::integer(add(a, b));
    case BinaryOp::kSubtract:
      return Value::integer(subtract(a, b));
    case BinaryOp::kMultiply:
      return Value::integer(multiply(a, b));
    case BinaryOp::kPower:
      return integer_power(a, b);
    default:
      break;
  }
  if (b == 0) raise("division by zero");
  if (op == BinaryOp::kDivide) {
    return Value::floating(static_cast<double>(a) / static_cast<double>(b));
  }
  return Value::integer(op == BinaryOp::kModulo ? floor_modulo(a, b) : floor_divide(a, b));
}

// Python's float % takes the sign of the divisor, also for zero.
double float_modulo(double a, double b) {
  double rest = std::fmod(a, b);
  if (rest != 0) {
    if ((b < 0) != (rest < 0)) rest += b;
  } else {
    rest = std::copysign(0.0, b);
  }
  return rest;
}

double float_floor_divide(double a, double b) {
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double whole = std::floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

double float_power(double a, double b) {
  if (a == 0 && b < 0) raise("0.0 cannot be raised to a negative power");
  if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b)) {
    raise_unsupported("a power with a complex result");
  }
  const double result = std::pow(a, b);
  if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) raise("result too large");
  return result;
}

Value float_operation(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::floating(a + b);
    case BinaryOp::kSubtract:
      return Value::floating(a - b);
    case BinaryOp::kMultiply:
      return Value::floating(a * b);
    case BinaryOp::kPower:
      return Value::floating(float_power(a, b));
    default:
      break;
  }
  if (b == 0) raise("float division by zero");
  if (op == BinaryOp::kDivide) return Value::floating(a / b);
  return Value::floating(op == BinaryOp::kModulo ? float_modulo(a, b) : float_floor_divide(a, b));
}

Value add_strings(Runtime& runtime, const Str& a, const Str& b) {
  const bool markup = a.is_markup() || b.is_markup();
  StrBuilder out = runtime.builder();
  out.append(markup ? escape_html(runtime, a) : a);
  out.append(markup ? escape_html(runtime, b) : b);
  return runtime.text(out.take().as_markup(markup));
}

Value add_sequences(Runtime& runtime, const Value& a, const Value& b) {
  runtime.charge(a.items().size() + b.items().size());
  std::vector<Value> items = a.items();
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is(Kind::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

bool is_sequence(const Value& value) { return value.is(Kind::kList) || value.is(Kind::kTuple); }

Value repeat(Runtime& runtime, const Value& sequence, Int count) {
  const size_t times = clamp_count(count);
  if (sequence.is_string()) {
    const Str& text = sequence.as_str();
    StrBuilder out = runtime.builder();
    out.append_repeated(text, times);
    return runtime.text(out.take().as_markup(text.is_markup()));
  }
  std::vector<Value> items;
  const auto& source = sequence.items();
  runtime.charge(source.empty() ? 0 : times);
  for (size_t i = 0; i < times && !source.empty(); ++i) {
    runtime.charge(4 * source.size());
    items.insert(items.end(), source.begin(), source.end());
  }
  return sequence.is(Kind::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
}

}  // namespace

Value binary_operation(Runtime& runtime, BinaryOp op, const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return integer_operation(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return float_operation(op, a.as_float(), b.as_float());
  if (op == BinaryOp::kModulo && a.is_string()) return format_percent(runtime, a.as_str(), b);
  if (a.is_undefined()) raise(a.undefined_message());
  if (b.is_undefined()) raise(b.undefined_message());
  if (op == BinaryOp::kAdd) {
    if (a.is_string() && b.is_string()) return add_strings(runtime, a.as_str(), b.as_str());
    if (a.kind() == b.kind() && is_sequence(a)) return add_sequences(runtime, a, b);
  }
  if (op == BinaryOp::kMultiply) {
    if (b.is_integral() && (a.is_string() || is_sequence(a))) return repeat(runtime, a, b.as_int());
    if (a.is_integral() && (b.is_string() || is_sequence(b))) return repeat(runtime, b, a.as_int());
  }
  unsupported_operands(op, a, b);
}

Value negate(const Value& value) {
  if (value.is_integral()) return integer_operation(BinaryOp::kSubtract, 0, value.as_int());
  if (value.is(Kind::kFloat)) return Value::floating(-value.as_float());
  if (value.is_undefined()) raise(value.undefined_message());
  raise("bad operand type for unary -: '", type_name(value), "'");
}

Value plus(const Value& value) {
  if (value.is_integral()) return Value::integer(value.as_int());
  if (value.is(Kind::kFloat)) return value;
  if (value.is_undefined()) raise(value.undefined_message());
  raise("bad operand type for unary +: '", type_name(value), "'");
}

bool compare_values(Runtime& runtime, CompareOp op, const Value& a, const Value& b) {
  switch (op) {
    case CompareOp::kEqual:
      return runtime.equal(a, b);
    case CompareOp::kNotEqual:
      return !runtime.equal(a, b);
    case CompareOp::kLess:
      return less(a, b, /*strict=*/true, runtime.budget());
    case CompareOp::kLessEqual:
      return less(a, b, /*strict=*/false, runtime.budget());
    case CompareOp::kGreater:
      return less(b, a, /*strict=*/true, runtime.budget());
    case CompareOp::kGreaterEqual:
      return less(b, a, /*strict=*/false, runtime.budget());
    case CompareOp::kIn:
      return runtime.contains(b, a);
    case CompareOp::kNotIn:
      return !runtime.contains(b, a);
  }
  return false;
}

Str escape_html(Runtime& runtime, const Str& text) {
  if (text.is_markup()) return text;
  const std::string_view bytes = text.view();
  constexpr std::string_view kSpecial = "&<>'\"";
  StrBuilder out = runtime.builder();
  size_t plain = 0;
  for (size_t pos = bytes.find_first_of(kSpecial); pos != std::string_view::npos;
       pos = bytes.find_first_of(kSpecial, pos + 1)) {
    out.append(text, plain, pos);
    const char c = bytes[pos];
    out.append_instead(text, pos, pos + 1,
                       c == '&'    ? "&amp;"
                       : c == '<'  ? "&lt;"
                       : c == '>'  ? "&gt;"
                       : c == '\'' ? "&#39;"
                                   : "&#34;");
    plain = pos + 1;
  }
  out.append(text, plain, bytes.size());
  runtime.charge(out.size() / 16);
  return out.take().as_markup();
}

}  // namespace m2::jinja
