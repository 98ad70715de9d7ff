#include "jinja/parser.h"

#include <algorithm>

#include "jinja/ast_visit.h"
#include "jinja/compare.h"
#include "jinja/fault.h"
#include "jinja/parser_nesting.h"
#include "jinja/unicode.h"

namespace m2::jinja {

const Token& Parser::look_ahead() const { return tokens_[std::min(pos_ + 1, tokens_.size() - 1)]; }

const Token& Parser::advance() {
  const Token& token = tokens_[pos_];
  if (pos_ + 1 < tokens_.size()) ++pos_;
  return token;
}

bool Parser::at_op(std::string_view op) const {
  return at(TokenKind::kOperator) && current().text == op;
}

bool Parser::at_name(std::string_view name) const {
  return at(TokenKind::kName) && current().text == name;
}

bool Parser::at_any_name(Words names) const {
  return at(TokenKind::kName) &&
         std::find(names.begin(), names.end(), current().text) != names.end();
}

bool Parser::skip_op(std::string_view op) {
  const bool found = at_op(op);
  if (found) advance();
  return found;
}

bool Parser::skip_name(std::string_view name) {
  const bool found = at_name(name);
  if (found) advance();
  return found;
}

void Parser::expect_op(std::string_view op) {
  if (!skip_op(op)) unexpected("'" + std::string(op) + "'");
}

void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) unexpected("'" + std::string(name) + "'");
}

void Parser::expect(TokenKind kind, std::string_view what) {
  if (!at(kind)) unexpected(what);
  advance();
}

std::string Parser::expect_any_name() {
  if (!at(TokenKind::kName)) unexpected("a name");
  return advance().text;
}

std::string Parser::expect_variable_name() {
  if (at_any_name({"true", "false", "none", "True", "False", "None"})) {
    fail("cannot assign to '" + current().text + "'");
  }
  return expect_any_name();
}

void Parser::fail_at(uint32_t offset, const std::string& message) {
  throw Fault(ErrorCode::kInvalidArgument, message, offset);
}

void Parser::unexpected(std::string_view expected) const {
  const Token& token = current();
  std::string got;
  switch (token.kind) {
    case TokenKind::kEnd:
      got = "the end of the template";
      break;
    case TokenKind::kVariableEnd:
      got = "'}}'";
      break;
    case TokenKind::kBlockEnd:
      got = "'%}'";
      break;
    case TokenKind::kString:
      got = "a string";
      break;
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      got = "a number";
      break;
    default:
      got = "'" + token.text + "'";
  }
  fail("expected " + std::string(expected) + ", got " + got);
}

Body Parser::parse_template() { return parse_body({}); }

void Parser::append_data(Body& body, ExprPtr part, uint32_t offset) {
  if (body.empty() || body.back()->kind != StmtKind::kOutput) {
    body.push_back(std::make_unique<OutputStmt>(offset));
  }
  static_cast<OutputStmt&>(*body.back()).parts.push_back(std::move(part));
}

// Stops behind the "{%" of an end name, with that name as the current token.
Body Parser::parse_body(Words end_names) {
  Body body;
  while (!at(TokenKind::kEnd)) {
    const uint32_t offset = current().offset;
    if (at(TokenKind::kData)) {
      append_data(body, std::make_unique<ConstExpr>(offset, Value::string(advance().text)), offset);
    } else if (at(TokenKind::kVariableBegin)) {
      advance();
      append_data(body, parse_tuple({}), offset);
      expect(TokenKind::kVariableEnd, "'}}'");
    } else {
      expect(TokenKind::kBlockBegin, "a tag");
      if (at_any_name(end_names)) return body;
      body.push_back(parse_statement());
      expect(TokenKind::kBlockEnd, "'%}'");
    }
  }
  if (end_names.size() != 0) {
    std::string wanted;
    for (const std::string_view name : end_names) {
      wanted += (wanted.empty() ? "'" : " or '") + std::string(name) + "'";
    }
    unexpected(wanted);
  }
  return body;
}

Body Parser::parse_block_body(Words end_names) {
  skip_op(":");  // for those who write Python
  expect(TokenKind::kBlockEnd, "'%}'");
  return parse_body(end_names);
}

StmtPtr Parser::parse_statement() {
  const Nesting nesting(*this, statement_nesting_, kMaxStatementNesting);
  if (!at(TokenKind::kName)) unexpected("a tag name");
  const std::string& tag = current().text;
  if (tag == "if") return parse_if();
  if (tag == "for") return parse_for();
  if (tag == "set") return parse_set();
  if (tag == "macro") return parse_macro();
  if (tag == "generation") return parse_generation();
  if (tag == "break") return parse_loop_control(StmtKind::kBreak);
  if (tag == "continue") return parse_loop_control(StmtKind::kContinue);
  if (tag == "call") return parse_call_block();
  if (tag == "filter") return parse_filter_block();
  if (tag == "with") return parse_with();
  if (tag == "print") return parse_print();
  if (tag == "block") return parse_block();
  if (tag == "autoescape") return parse_autoescape();
  if (tag == "include" || tag == "import" || tag == "from" || tag == "extends") {
    throw Fault(ErrorCode::kUnsupported,
                "the tag '" + tag + "' needs other templates, which chat templates do not have",
                current().offset);
  }
  fail("unknown tag '" + tag + "'");
}

StmtPtr Parser::parse_if() {
  auto node = std::make_unique<IfStmt>(current().offset);
  do {
    advance();
    IfStmt::Branch branch;
    branch.test = parse_tuple({.conditionals = Conditionals::kForbidden});
    branch.body = parse_block_body({"elif", "else", "endif"});
    node->branches.push_back(std::move(branch));
  } while (at_name("elif"));
  if (skip_name("else")) node->otherwise = parse_block_body({"endif"});
  expect_name("endif");
  return node;
}

namespace {

// A copy of a target: names and tuples of names.
ExprPtr clone_target(const Expr& target) {
  if (target.kind == ExprKind::kName) {
    const auto& name = static_cast<const NameExpr&>(target);
    auto copy = std::make_unique<NameExpr>(name.offset, name.name);
    copy->use = name.use;
    return copy;
  }
  auto copy = std::make_unique<SequenceExpr>(ExprKind::kTuple, target.offset);
  for (const ExprPtr& item : static_cast<const SequenceExpr&>(target).items) {
    copy->items.push_back(clone_target(*item));
  }
  return copy;
}

}  // namespace

StmtPtr Parser::parse_for() {
  auto node = std::make_unique<ForStmt>(current().offset);
  expect_name("for");
  node->target = parse_assign_target(/*with_namespace=*/false);
  expect_name("in");
  node->iterable = parse_tuple({.conditionals = Conditionals::kForbidden});
  if (skip_name("if")) {
    node->test = parse_expression();
    node->filter_target = clone_target(*node->target);
  }
  node->recursive = skip_name("recursive");
  node->body = parse_block_body({"endfor", "else"});
  if (skip_name("else")) node->otherwise = parse_block_body({"endfor"});
  expect_name("endfor");
  return node;
}

StmtPtr Parser::parse_set() {
  const uint32_t offset = advance().offset;
  ExprPtr target = parse_assign_target(/*with_namespace=*/true);
  if (skip_op("=")) {
    auto node = std::make_unique<SetStmt>(offset);
    node->target = std::move(target);
    node->value = parse_tuple({});
    return node;
  }
  auto node = std::make_unique<SetBlockStmt>(offset);
  node->target = std::move(target);
  node->filter = parse_filters(nullptr, /*starts_inline=*/false);
  node->body = parse_block_body({"endset"});
  expect_name("endset");
  return node;
}

namespace {

// Marks the names of a target as stores, or says why it is none.
const char* make_target(Expr& target, NameUse use) {
  switch (target.kind) {
    case ExprKind::kNamespaceRef:
      return nullptr;
    case ExprKind::kName:
      static_cast<NameExpr&>(target).use = use;
      return nullptr;
    case ExprKind::kTuple:
      for (const ExprPtr& item : static_cast<SequenceExpr&>(target).items) {
        if (const char* problem = make_target(*item, use)) return problem;
      }
      return nullptr;
    default:
      return "cannot assign to this expression";
  }
}

}  // namespace

ExprPtr Parser::parse_assign_target(bool with_namespace) {
  ExprPtr target = parse_tuple({.names_only = true, .with_namespace = with_namespace});
  if (const char* problem = make_target(*target, NameUse::kStore)) fail_at(target->offset, problem);
  return target;
}

StmtPtr Parser::parse_with() {
  auto node = std::make_unique<WithStmt>(advance().offset);
  while (!at(TokenKind::kBlockEnd)) {
    if (!node->targets.empty()) expect_op(",");
    ExprPtr target = parse_assign_target(/*with_namespace=*/false);
    make_target(*target, NameUse::kParameter);
    node->targets.push_back(std::move(target));
    expect_op("=");
    node->values.push_back(parse_expression());
  }
  node->body = parse_block_body({"endwith"});
  expect_name("endwith");
  return node;
}

StmtPtr Parser::parse_autoescape() {
  auto node = std::make_unique<ScopeStmt>(advance().offset);
  const ExprPtr option = parse_expression();
  const bool off =
      option->kind == ExprKind::kConst && !truthy(static_cast<const ConstExpr&>(*option).value);
  if (!off) {
    throw Fault(ErrorCode::kUnsupported, "automatic escaping is not supported", node->offset);
  }
  node->body = parse_block_body({"endautoescape"});
  expect_name("endautoescape");
  return node;
}

StmtPtr Parser::parse_block() {
  auto node = std::make_unique<BlockStmt>(advance().offset);
  node->name = expect_any_name();
  node->scoped = skip_name("scoped");
  node->required = skip_name("required");
  node->body = parse_block_body({"endblock"});
  expect_name("endblock");
  skip_name(node->name);
  return node;
}

void Parser::parse_signature(MacroBody& macro) {
  expect_op("(");
  while (!at_op(")")) {
    if (!macro.parameters.empty()) expect_op(",");
    const uint32_t offset = current().offset;
    auto parameter = std::make_unique<NameExpr>(offset, expect_variable_name());
    parameter->use = NameUse::kParameter;
    for (const auto& other : macro.parameters) {
      if (other->name == parameter->name) fail_at(offset, "duplicate argument " + other->name);
    }
    if (skip_op("=")) {
      macro.defaults.push_back(parse_expression());
    } else if (!macro.defaults.empty()) {
      fail("non-default argument follows default argument");
    }
    macro.parameters.push_back(std::move(parameter));
  }
  expect_op(")");
}

StmtPtr Parser::parse_macro() {
  auto node = std::make_unique<MacroStmt>(advance().offset);
  node->name = expect_variable_name();
  parse_signature(node->macro);
  node->macro.body = parse_block_body({"endmacro"});
  expect_name("endmacro");
  return node;
}

StmtPtr Parser::parse_call_block() {
  auto node = std::make_unique<CallBlockStmt>(advance().offset);
  if (at_op("(")) parse_signature(node->macro);
  node->call = parse_expression();
  if (node->call->kind != ExprKind::kCall) fail_at(node->offset, "expected a call");
  node->macro.body = parse_block_body({"endcall"});
  expect_name("endcall");
  return node;
}

StmtPtr Parser::parse_generation() {
  auto node = std::make_unique<GenerationStmt>(advance().offset);
  node->macro.body = parse_block_body({"endgeneration"});
  expect_name("endgeneration");
  return node;
}

StmtPtr Parser::parse_filter_block() {
  auto node = std::make_unique<FilterBlockStmt>(advance().offset);
  node->filter = parse_filters(nullptr, /*starts_inline=*/true);
  node->body = parse_block_body({"endfilter"});
  expect_name("endfilter");
  return node;
}

StmtPtr Parser::parse_print() {
  auto node = std::make_unique<OutputStmt>(advance().offset);
  while (!at(TokenKind::kBlockEnd)) {
    if (!node->parts.empty()) expect_op(",");
    node->parts.push_back(parse_expression());
  }
  return node;
}

StmtPtr Parser::parse_loop_control(StmtKind kind) {
  return std::make_unique<Stmt>(kind, advance().offset);
}

}  // namespace m2::jinja
