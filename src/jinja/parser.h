// Tokens to the syntax tree, with Jinja2's grammar.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace m2::jinja {

/// Recursive descent over the tokens of one template. Throws Fault at the first error.
class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  [[nodiscard]] Body parse_template();

 private:
  using Words = std::initializer_list<std::string_view>;

  // Tokens.
  [[nodiscard]] const Token& current() const { return tokens_[pos_]; }
  [[nodiscard]] const Token& look_ahead() const;
  const Token& advance();
  [[nodiscard]] bool at(TokenKind kind) const { return current().kind == kind; }
  [[nodiscard]] bool at_op(std::string_view op) const;
  [[nodiscard]] bool at_name(std::string_view name) const;
  [[nodiscard]] bool at_any_name(Words names) const;
  bool skip_op(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  void expect(TokenKind kind, std::string_view what);
  std::string expect_any_name();
  std::string expect_variable_name();  // one that can be assigned to
  [[noreturn]] static void fail_at(uint32_t offset, const std::string& message);
  [[noreturn]] void fail(const std::string& message) const { fail_at(current().offset, message); }
  [[noreturn]] void unexpected(std::string_view expected) const;

  // Statements (parser.cc).
  Body parse_body(Words end_names);
  Body parse_block_body(Words end_names);  // behind the opening tag; stops at the end name
  void append_data(Body& body, ExprPtr part, uint32_t offset);
  StmtPtr parse_statement();
  StmtPtr parse_if();
  StmtPtr parse_for();
  StmtPtr parse_set();
  StmtPtr parse_with();
  StmtPtr parse_autoescape();
  StmtPtr parse_block();
  StmtPtr parse_macro();
  StmtPtr parse_call_block();
  StmtPtr parse_generation();
  StmtPtr parse_filter_block();
  StmtPtr parse_print();
  StmtPtr parse_loop_control(StmtKind kind);
  void parse_signature(MacroBody& macro);
  ExprPtr parse_assign_target(bool with_namespace);

  // Expressions (parser_expressions.cc).
  enum class Conditionals { kAllowed, kForbidden };
  ExprPtr parse_expression(Conditionals conditionals = Conditionals::kAllowed);
  ExprPtr parse_conditional();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  ExprPtr parse_unary(bool with_filters);
  ExprPtr parse_primary(bool with_namespace = false);
  ExprPtr parse_name(bool with_namespace);
  ExprPtr parse_string();
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr node);
  ExprPtr parse_filters_and_tests(ExprPtr node);
  ExprPtr parse_subscript(ExprPtr node);
  ExprPtr parse_subscript_part();
  ExprPtr parse_call(ExprPtr callee);
  ExprPtr parse_filters(ExprPtr operand, bool starts_inline);
  ExprPtr parse_test(ExprPtr operand);
  CallArguments parse_call_arguments();
  std::string parse_dotted_name();

  struct TupleRules {
    bool names_only = false;  // targets: names and literals
    bool with_namespace = false;
    Conditionals conditionals = Conditionals::kAllowed;
    bool explicit_parentheses = false;
  };
  ExprPtr parse_tuple(const TupleRules& rules);
  [[nodiscard]] bool at_tuple_end() const;

  // Bounds the depth of the tree, as Python bounds the code that Jinja2 makes of it.
  ExprPtr finish(ExprPtr node) const;

  class Nesting;

  std::vector<Token> tokens_;
  size_t pos_ = 0;
  int expression_nesting_ = 0;
  int statement_nesting_ = 0;
};

}  // namespace m2::jinja
