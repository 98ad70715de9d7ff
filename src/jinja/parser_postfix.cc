// What may follow an operand: attributes, items, calls, filters and tests.
#include <unordered_set>

#include "jinja/fault.h"
#include "jinja/parser.h"
#include "jinja/parser_nesting.h"

namespace m2::jinja {

ExprPtr Parser::parse_postfix(ExprPtr node) {
  while (true) {
    if (at_op(".") || at_op("[")) {
      node = parse_subscript(std::move(node));
    } else if (at_op("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::parse_filters_and_tests(ExprPtr node) {
  while (true) {
    if (at_op("|")) {
      node = parse_filters(std::move(node), /*starts_inline=*/false);
    } else if (at_name("is")) {
      node = parse_test(std::move(node));
    } else if (at_op("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::parse_subscript(ExprPtr node) {
  const uint32_t offset = current().offset;
  if (skip_op(".")) {
    if (at(TokenKind::kName)) {
      return finish(std::make_unique<AttributeExpr>(offset, std::move(node), advance().text));
    }
    if (!at(TokenKind::kInteger)) unexpected("a name or a number");
    const Token& token = advance();
    auto index = std::make_unique<ConstExpr>(token.offset, token.number);
    return finish(std::make_unique<ItemExpr>(offset, std::move(node), std::move(index)));
  }
  expect_op("[");
  auto parts = std::make_unique<SequenceExpr>(ExprKind::kTuple, offset);
  while (!at_op("]")) {
    if (!parts->items.empty()) expect_op(",");
    parts->items.push_back(parse_subscript_part());
  }
  expect_op("]");
  ExprPtr index;
  if (parts->items.size() == 1) {
    index = std::move(parts->items[0]);
  } else {
    for (const ExprPtr& part : parts->items) {
      if (part->kind == ExprKind::kSlice) fail_at(part->offset, "slice inside a tuple of indices");
    }
    index = finish(std::move(parts));
  }
  return finish(std::make_unique<ItemExpr>(offset, std::move(node), std::move(index)));
}

ExprPtr Parser::parse_subscript_part() {
  const uint32_t offset = current().offset;
  ExprPtr start;
  if (!at_op(":")) {
    start = parse_expression();
    if (!at_op(":")) return start;
  }
  expect_op(":");
  auto node = std::make_unique<SliceExpr>(offset);
  node->start = std::move(start);
  const auto at_part_end = [this] { return at_op("]") || at_op(","); };
  if (!at_op(":") && !at_part_end()) node->stop = parse_expression();
  if (skip_op(":") && !at_part_end()) node->step = parse_expression();
  return finish(std::move(node));
}

ExprPtr Parser::parse_call(ExprPtr callee) {
  const uint32_t offset = current().offset;
  return finish(std::make_unique<CallExpr>(offset, std::move(callee), parse_call_arguments()));
}

CallArguments Parser::parse_call_arguments() {
  const uint32_t offset = current().offset;
  const auto ensure = [&](bool condition) {
    if (!condition) fail_at(offset, "invalid syntax for function call expression");
  };
  CallArguments arguments;
  std::unordered_set<std::string> names;
  expect_op("(");
  bool require_comma = false;
  while (!at_op(")")) {
    if (require_comma) {
      expect_op(",");
      if (at_op(")")) break;
    }
    if (skip_op("*")) {
      ensure(!arguments.star && !arguments.double_star);
      arguments.star = parse_expression();
    } else if (skip_op("**")) {
      ensure(!arguments.double_star);
      arguments.double_star = parse_expression();
    } else if (at(TokenKind::kName) && look_ahead().kind == TokenKind::kOperator &&
               look_ahead().text == "=") {
      ensure(!arguments.double_star);
      std::string name = advance().text;
      advance();
      if (!names.insert(name).second) fail_at(offset, "keyword argument repeated: " + name);
      arguments.keyword.emplace_back(Str(std::move(name)), parse_expression());
    } else {
      ensure(!arguments.star && !arguments.double_star && arguments.keyword.empty());
      arguments.positional.push_back(parse_expression());
    }
    require_comma = true;
  }
  expect_op(")");
  return arguments;
}

std::string Parser::parse_dotted_name() {
  std::string name = expect_any_name();
  while (skip_op(".")) name += "." + expect_any_name();
  return name;
}

ExprPtr Parser::parse_filters(ExprPtr operand, bool starts_inline) {
  while (at_op("|") || starts_inline) {
    if (!starts_inline) advance();
    starts_inline = false;
    auto node = std::make_unique<AppliedExpr>(ExprKind::kFilter, current().offset);
    node->name = parse_dotted_name();
    if (at_op("(")) node->arguments = parse_call_arguments();
    node->operand = std::move(operand);
    operand = finish(std::move(node));
  }
  return operand;
}

ExprPtr Parser::parse_test(ExprPtr operand) {
  const uint32_t offset = advance().offset;
  const bool negated = skip_name("not");
  auto node = std::make_unique<AppliedExpr>(ExprKind::kTest, offset);
  node->name = parse_dotted_name();
  node->operand = std::move(operand);
  const bool literal = at(TokenKind::kName) || at(TokenKind::kString) || at(TokenKind::kInteger) ||
                       at(TokenKind::kFloat) || at_op("[") || at_op("{");
  if (at_op("(")) {
    node->arguments = parse_call_arguments();
  } else if (literal && !at_any_name({"else", "or", "and"})) {
    if (at_name("is")) fail("tests cannot be chained with is");
    node->arguments.positional.push_back(parse_postfix(parse_primary()));
  }
  ExprPtr test = finish(std::move(node));
  if (!negated) return test;
  return finish(std::make_unique<UnaryExpr>(offset, UnaryOp::kNot, std::move(test)));
}

}  // namespace m2::jinja
