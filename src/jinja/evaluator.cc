// Expressions and calls of macros.
#include <algorithm>

#include "jinja/builtins.h"
#include "jinja/callables.h"
#include "jinja/fault.h"
#include "jinja/interpreter.h"
#include "jinja/operators.h"
#include "jinja/repr.h"

namespace m2::jinja {

Value Interpreter::evaluate(const Expr& node) {
  runtime_.charge();
  try {
    return dispatch(node);
  } catch (Fault& fault) {
    if (!fault.offset) fault.offset = node.offset;
    throw;
  }
}

Value Interpreter::dispatch(const Expr& node) {
  switch (node.kind) {
    case ExprKind::kConst:
      return static_cast<const ConstExpr&>(node).value;
    case ExprKind::kName:
      return evaluate_name(static_cast<const NameExpr&>(node));
    case ExprKind::kList:
    case ExprKind::kTuple:
      return evaluate_sequence(static_cast<const SequenceExpr&>(node));
    case ExprKind::kDict:
      return evaluate_dict(static_cast<const DictExpr&>(node));
    case ExprKind::kUnary:
      return evaluate_unary(static_cast<const UnaryExpr&>(node));
    case ExprKind::kBinary:
      return evaluate_binary(static_cast<const BinaryExpr&>(node));
    case ExprKind::kCompare:
      return evaluate_compare(static_cast<const CompareExpr&>(node));
    case ExprKind::kConcat:
      return evaluate_concat(static_cast<const ConcatExpr&>(node));
    case ExprKind::kConditional:
      return evaluate_conditional(static_cast<const ConditionalExpr&>(node));
    case ExprKind::kAttribute: {
      const auto& attribute = static_cast<const AttributeExpr&>(node);
      return get_attribute(runtime_, evaluate(*attribute.object), attribute.attribute);
    }
    case ExprKind::kItem:
      return evaluate_item(static_cast<const ItemExpr&>(node));
    case ExprKind::kCall:
      return evaluate_call(static_cast<const CallExpr&>(node), std::nullopt);
    case ExprKind::kFilter:
      return evaluate_filter(static_cast<const AppliedExpr&>(node));
    case ExprKind::kTest:
      return evaluate_test(static_cast<const AppliedExpr&>(node));
    case ExprKind::kNamespaceRef:
    case ExprKind::kSlice:
      break;
  }
  M2_CHECK(false, "node is not an expression with a value");
}

Value Interpreter::evaluate_optional(const ExprPtr& node) {
  return node ? evaluate(*node) : Value::none();
}

Value Interpreter::evaluate_name(const NameExpr& node) {
  const Value& value = slot(node.slot);
  return value.is_missing() ? Value::undefined("'" + node.name + "' is undefined") : value;
}

Value Interpreter::evaluate_sequence(const SequenceExpr& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExprPtr& item : node.items) items.push_back(evaluate(*item));
  return node.kind == ExprKind::kList ? Value::list(std::move(items))
                                      : Value::tuple(std::move(items));
}

Value Interpreter::evaluate_dict(const DictExpr& node) {
  Value result = Value::dict();
  for (const auto& [key, value] : node.entries) {
    Value key_value = evaluate(*key);
    result.as_dict().set(std::move(key_value), evaluate(*value));
  }
  return result;
}

Value Interpreter::evaluate_unary(const UnaryExpr& node) {
  const Value operand = evaluate(*node.operand);
  switch (node.op) {
    case UnaryOp::kNegate:
      return negate(operand);
    case UnaryOp::kPlus:
      return plus(operand);
    case UnaryOp::kNot:
      break;
  }
  return Value::boolean(!truthy(operand));
}

Value Interpreter::evaluate_binary(const BinaryExpr& node) {
  Value left = evaluate(*node.left);
  if (node.op == BinaryOp::kAnd) return truthy(left) ? evaluate(*node.right) : left;
  if (node.op == BinaryOp::kOr) return truthy(left) ? left : evaluate(*node.right);
  const Value right = evaluate(*node.right);
  return binary_operation(runtime_, node.op, left, right);
}

Value Interpreter::evaluate_compare(const CompareExpr& node) {
  Value left = evaluate(*node.first);
  for (const auto& [op, operand] : node.rest) {
    Value right = evaluate(*operand);
    if (!compare_values(runtime_, op, left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Value Interpreter::evaluate_concat(const ConcatExpr& node) {
  StrBuilder out = runtime_.builder();
  for (const ExprPtr& part : node.parts) append_str(out, evaluate(*part), runtime_);
  return runtime_.text(out.take());
}

Value Interpreter::evaluate_conditional(const ConditionalExpr& node) {
  if (truthy(evaluate(*node.test))) return evaluate(*node.then);
  if (node.otherwise) return evaluate(*node.otherwise);
  return Value::undefined("the inline if-expression evaluated to false and has no else section");
}

Value Interpreter::evaluate_item(const ItemExpr& node) {
  const Value object = evaluate(*node.object);
  if (node.index->kind != ExprKind::kSlice) {
    return get_item(runtime_, object, evaluate(*node.index));
  }
  const auto& slice = static_cast<const SliceExpr&>(*node.index);
  const Value start = evaluate_optional(slice.start);
  const Value stop = evaluate_optional(slice.stop);
  const Value step = evaluate_optional(slice.step);
  return get_slice(runtime_, object, start, stop, step);
}

void Interpreter::evaluate_arguments(const CallArguments& source, Arguments& arguments) {
  for (const ExprPtr& value : source.positional) arguments.positional.push_back(evaluate(*value));
  for (const auto& [name, value] : source.keyword) {
    arguments.keyword.emplace_back(name, evaluate(*value));
  }
  if (source.star) {
    for (Value& value : runtime_.to_vector(evaluate(*source.star))) {
      arguments.positional.push_back(std::move(value));
    }
  }
  if (!source.double_star) return;
  const Value mapping = evaluate(*source.double_star);
  if (!mapping.is_dict()) raise("argument after ** must be a mapping, not ", type_name(mapping));
  for (const auto& [name, value] : mapping.as_dict().entries()) {
    if (!name.is_string()) raise("keywords must be strings");
    runtime_.charge(arguments.keyword.size());
    const bool repeated =
        std::any_of(arguments.keyword.begin(), arguments.keyword.end(),
                    [&](const auto& other) { return other.first == name.view(); });
    if (repeated) raise("got multiple values for keyword argument '", name.view(), "'");
    arguments.keyword.emplace_back(name.as_str(), value);
  }
}

Value Interpreter::evaluate_call(const CallExpr& node, std::optional<Value> caller) {
  const Value callee = evaluate(*node.callee);
  Arguments arguments;
  evaluate_arguments(node.arguments, arguments);
  if (caller) arguments.keyword.emplace_back(Str("caller"), *std::move(caller));
  return runtime_.call(callee, arguments);
}

Value Interpreter::evaluate_filter(const AppliedExpr& node) {
  if (node.filter == nullptr) raise("no filter named '", node.name, "'");
  const Value input = node.operand ? evaluate(*node.operand) : Value::string(*block_text_);
  Arguments arguments;
  evaluate_arguments(node.arguments, arguments);
  return node.filter(runtime_, input, arguments);
}

Value Interpreter::evaluate_test(const AppliedExpr& node) {
  if (node.test == nullptr) raise("no test named '", node.name, "'");
  const Value input = evaluate(*node.operand);
  Arguments arguments;
  evaluate_arguments(node.arguments, arguments);
  return Value::boolean(node.test(runtime_, input, arguments));
}

}  // namespace m2::jinja
