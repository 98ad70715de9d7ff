#include <algorithm>
#include <array>

#include "jinja/ast_visit.h"
#include "jinja/fault.h"
#include "jinja/parser.h"
#include "jinja/parser_nesting.h"

namespace m2::jinja {

ExprPtr Parser::finish(ExprPtr node) const {
  int depth = 0;
  for_each_child(*node, [&](const Expr& child) { depth = std::max(depth, child.depth); });
  node->depth = depth + 1;
  if (node->depth > kMaxExpressionDepth) fail_at(node->offset, "expression is nested too deeply");
  return node;
}

ExprPtr Parser::parse_expression(Conditionals conditionals) {
  return conditionals == Conditionals::kAllowed ? parse_conditional() : parse_or();
}

ExprPtr Parser::parse_conditional() {
  const Nesting nesting(*this, expression_nesting_, kMaxExpressionNesting);
  const uint32_t offset = current().offset;
  ExprPtr value = parse_or();
  while (skip_name("if")) {
    auto node = std::make_unique<ConditionalExpr>(offset);
    node->then = std::move(value);
    node->test = parse_or();
    if (skip_name("else")) node->otherwise = parse_conditional();
    value = finish(std::move(node));
  }
  return value;
}

ExprPtr Parser::parse_or() {
  ExprPtr left = parse_and();
  while (at_name("or")) {
    const uint32_t offset = advance().offset;
    left =
        finish(std::make_unique<BinaryExpr>(offset, BinaryOp::kOr, std::move(left), parse_and()));
  }
  return left;
}

ExprPtr Parser::parse_and() {
  ExprPtr left = parse_not();
  while (at_name("and")) {
    const uint32_t offset = advance().offset;
    left =
        finish(std::make_unique<BinaryExpr>(offset, BinaryOp::kAnd, std::move(left), parse_not()));
  }
  return left;
}

ExprPtr Parser::parse_not() {
  if (!at_name("not")) return parse_compare();
  const Nesting nesting(*this, expression_nesting_, kMaxExpressionNesting);
  const uint32_t offset = advance().offset;
  return finish(std::make_unique<UnaryExpr>(offset, UnaryOp::kNot, parse_not()));
}

namespace {

struct OperatorName {
  std::string_view text;
  CompareOp op;
};

constexpr std::array<OperatorName, 6> kCompareOperators{{{"==", CompareOp::kEqual},
                                                         {"!=", CompareOp::kNotEqual},
                                                         {"<", CompareOp::kLess},
                                                         {"<=", CompareOp::kLessEqual},
                                                         {">", CompareOp::kGreater},
                                                         {">=", CompareOp::kGreaterEqual}}};

}  // namespace

ExprPtr Parser::parse_compare() {
  const uint32_t offset = current().offset;
  ExprPtr first = parse_sum();
  auto node = std::make_unique<CompareExpr>(offset);
  while (true) {
    const auto* op = std::find_if(kCompareOperators.begin(), kCompareOperators.end(),
                                  [this](const OperatorName& o) { return at_op(o.text); });
    if (op != kCompareOperators.end()) {
      advance();
      node->rest.emplace_back(op->op, parse_sum());
    } else if (skip_name("in")) {
      node->rest.emplace_back(CompareOp::kIn, parse_sum());
    } else if (at_name("not") && look_ahead().kind == TokenKind::kName &&
               look_ahead().text == "in") {
      pos_ += 2;
      node->rest.emplace_back(CompareOp::kNotIn, parse_sum());
    } else {
      break;
    }
  }
  if (node->rest.empty()) return first;
  node->first = std::move(first);
  return finish(std::move(node));
}

ExprPtr Parser::parse_sum() {
  ExprPtr left = parse_concat();
  while (at_op("+") || at_op("-")) {
    const BinaryOp op = at_op("+") ? BinaryOp::kAdd : BinaryOp::kSubtract;
    const uint32_t offset = advance().offset;
    left = finish(std::make_unique<BinaryExpr>(offset, op, std::move(left), parse_concat()));
  }
  return left;
}

ExprPtr Parser::parse_concat() {
  const uint32_t offset = current().offset;
  ExprPtr first = parse_product();
  if (!at_op("~")) return first;
  auto node = std::make_unique<ConcatExpr>(offset);
  node->parts.push_back(std::move(first));
  while (skip_op("~")) node->parts.push_back(parse_product());
  return finish(std::move(node));
}

ExprPtr Parser::parse_product() {
  ExprPtr left = parse_power();
  while (true) {
    BinaryOp op;
    if (at_op("*")) {
      op = BinaryOp::kMultiply;
    } else if (at_op("/")) {
      op = BinaryOp::kDivide;
    } else if (at_op("//")) {
      op = BinaryOp::kFloorDivide;
    } else if (at_op("%")) {
      op = BinaryOp::kModulo;
    } else {
      return left;
    }
    const uint32_t offset = advance().offset;
    left = finish(std::make_unique<BinaryExpr>(offset, op, std::move(left), parse_power()));
  }
}

ExprPtr Parser::parse_power() {
  ExprPtr left = parse_unary(/*with_filters=*/true);
  while (at_op("**")) {
    const uint32_t offset = advance().offset;
    left = finish(std::make_unique<BinaryExpr>(offset, BinaryOp::kPower, std::move(left),
                                               parse_unary(/*with_filters=*/true)));
  }
  return left;
}

ExprPtr Parser::parse_unary(bool with_filters) {
  const Nesting nesting(*this, expression_nesting_, kMaxExpressionNesting);
  ExprPtr node;
  if (at_op("-") || at_op("+")) {
    const UnaryOp op = at_op("-") ? UnaryOp::kNegate : UnaryOp::kPlus;
    const uint32_t offset = advance().offset;
    node = finish(std::make_unique<UnaryExpr>(offset, op, parse_unary(/*with_filters=*/false)));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filters ? parse_filters_and_tests(std::move(node)) : std::move(node);
}

ExprPtr Parser::parse_primary(bool with_namespace) {
  switch (current().kind) {
    case TokenKind::kName:
      return parse_name(with_namespace);
    case TokenKind::kString:
      return parse_string();
    case TokenKind::kInteger:
    case TokenKind::kFloat: {
      const Token& token = advance();
      return std::make_unique<ConstExpr>(token.offset, token.number);
    }
    default:
      break;
  }
  if (skip_op("(")) {
    ExprPtr node = parse_tuple({.explicit_parentheses = true});
    expect_op(")");
    return node;
  }
  if (at_op("[")) return parse_list();
  if (at_op("{")) return parse_dict();
  unexpected("an expression");
}

ExprPtr Parser::parse_name(bool with_namespace) {
  const Token& token = advance();
  const std::string& name = token.text;
  if (name == "true" || name == "True" || name == "false" || name == "False") {
    return std::make_unique<ConstExpr>(token.offset,
                                       Value::boolean(name == "true" || name == "True"));
  }
  if (name == "none" || name == "None") {
    return std::make_unique<ConstExpr>(token.offset, Value::none());
  }
  if (with_namespace && skip_op(".")) {
    return std::make_unique<NamespaceRefExpr>(token.offset, name, expect_any_name());
  }
  return std::make_unique<NameExpr>(token.offset, name);
}

ExprPtr Parser::parse_string() {
  const uint32_t offset = current().offset;
  std::string text;
  while (at(TokenKind::kString)) text += advance().text;  // adjacent literals are joined
  return std::make_unique<ConstExpr>(offset, Value::string(std::move(text)));
}

ExprPtr Parser::parse_list() {
  auto node = std::make_unique<SequenceExpr>(ExprKind::kList, current().offset);
  expect_op("[");
  while (!at_op("]")) {
    if (!node->items.empty()) expect_op(",");
    if (at_op("]")) break;
    node->items.push_back(parse_expression());
  }
  expect_op("]");
  return finish(std::move(node));
}

ExprPtr Parser::parse_dict() {
  auto node = std::make_unique<DictExpr>(current().offset);
  expect_op("{");
  while (!at_op("}")) {
    if (!node->entries.empty()) expect_op(",");
    if (at_op("}")) break;
    ExprPtr key = parse_expression();
    expect_op(":");
    node->entries.emplace_back(std::move(key), parse_expression());
  }
  expect_op("}");
  return finish(std::move(node));
}

// As in Jinja2 neither `in` nor `recursive` ends a tuple: both are read as names behind a comma.
bool Parser::at_tuple_end() const {
  return at(TokenKind::kVariableEnd) || at(TokenKind::kBlockEnd) || at_op(")");
}

ExprPtr Parser::parse_tuple(const TupleRules& rules) {
  const uint32_t offset = current().offset;
  auto node = std::make_unique<SequenceExpr>(ExprKind::kTuple, offset);
  bool is_tuple = false;
  while (true) {
    if (!node->items.empty()) expect_op(",");
    if (at_tuple_end()) break;
    node->items.push_back(rules.names_only ? parse_primary(rules.with_namespace)
                                           : parse_expression(rules.conditionals));
    if (!at_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple) {
    if (!node->items.empty()) return std::move(node->items[0]);
    if (!rules.explicit_parentheses) unexpected("an expression");
  }
  return finish(std::move(node));
}

}  // namespace m2::jinja
