// Walks over the children of syntax tree nodes, in the order in which Jinja2 lists them: the scope
// rules depend on which use of a name comes first.
#pragma once

#include "jinja/ast.h"

namespace m2::jinja {

template <typename Visit>
void for_each_argument(const CallArguments& arguments, const Visit& visit) {
  for (const ExprPtr& value : arguments.positional) visit(*value);
  for (const auto& [name, value] : arguments.keyword) visit(*value);
  if (arguments.star) visit(*arguments.star);
  if (arguments.double_star) visit(*arguments.double_star);
}

template <typename Visit>
void for_each_child(const Expr& node, const Visit& visit) {
  const auto maybe = [&](const ExprPtr& child) {
    if (child) visit(*child);
  };
  switch (node.kind) {
    case ExprKind::kConst:
    case ExprKind::kName:
    case ExprKind::kNamespaceRef:
      break;
    case ExprKind::kList:
    case ExprKind::kTuple:
      for (const ExprPtr& item : static_cast<const SequenceExpr&>(node).items) visit(*item);
      break;
    case ExprKind::kDict:
      for (const auto& [key, value] : static_cast<const DictExpr&>(node).entries) {
        visit(*key);
        visit(*value);
      }
      break;
    case ExprKind::kUnary:
      visit(*static_cast<const UnaryExpr&>(node).operand);
      break;
    case ExprKind::kBinary:
      visit(*static_cast<const BinaryExpr&>(node).left);
      visit(*static_cast<const BinaryExpr&>(node).right);
      break;
    case ExprKind::kCompare:
      visit(*static_cast<const CompareExpr&>(node).first);
      for (const auto& [op, operand] : static_cast<const CompareExpr&>(node).rest) visit(*operand);
      break;
    case ExprKind::kConcat:
      for (const ExprPtr& part : static_cast<const ConcatExpr&>(node).parts) visit(*part);
      break;
    case ExprKind::kConditional: {
      const auto& conditional = static_cast<const ConditionalExpr&>(node);
      visit(*conditional.test);
      visit(*conditional.then);
      maybe(conditional.otherwise);
      break;
    }
    case ExprKind::kAttribute:
      visit(*static_cast<const AttributeExpr&>(node).object);
      break;
    case ExprKind::kItem:
      visit(*static_cast<const ItemExpr&>(node).object);
      visit(*static_cast<const ItemExpr&>(node).index);
      break;
    case ExprKind::kSlice:
      maybe(static_cast<const SliceExpr&>(node).start);
      maybe(static_cast<const SliceExpr&>(node).stop);
      maybe(static_cast<const SliceExpr&>(node).step);
      break;
    case ExprKind::kCall:
      visit(*static_cast<const CallExpr&>(node).callee);
      for_each_argument(static_cast<const CallExpr&>(node).arguments, visit);
      break;
    case ExprKind::kFilter:
    case ExprKind::kTest:
      maybe(static_cast<const AppliedExpr&>(node).operand);
      for_each_argument(static_cast<const AppliedExpr&>(node).arguments, visit);
      break;
  }
}

template <typename VisitExpr, typename VisitStmt>
void for_each_child(const MacroBody& macro, const VisitExpr& expr, const VisitStmt& stmt) {
  for (const auto& parameter : macro.parameters) expr(*parameter);
  for (const ExprPtr& value : macro.defaults) expr(*value);
  for (const StmtPtr& child : macro.body) stmt(*child);
}

/// Not into blocks, which have scopes of their own.
template <typename VisitExpr, typename VisitStmt>
void for_each_child(const Stmt& node, const VisitExpr& expr, const VisitStmt& stmt) {
  const auto maybe = [&](const ExprPtr& child) {
    if (child) expr(*child);
  };
  const auto all = [&](const Body& body) {
    for (const StmtPtr& child : body) stmt(*child);
  };
  switch (node.kind) {
    case StmtKind::kOutput:
      for (const ExprPtr& part : static_cast<const OutputStmt&>(node).parts) expr(*part);
      break;
    case StmtKind::kIf: {
      const auto& branches = static_cast<const IfStmt&>(node).branches;
      for (const auto& branch : branches) {
        expr(*branch.test);
        all(branch.body);
      }
      all(static_cast<const IfStmt&>(node).otherwise);
      break;
    }
    case StmtKind::kFor: {
      const auto& loop = static_cast<const ForStmt&>(node);
      expr(*loop.target);
      expr(*loop.iterable);
      all(loop.body);
      all(loop.otherwise);
      maybe(loop.test);
      break;
    }
    case StmtKind::kMacro:
      for_each_child(static_cast<const MacroStmt&>(node).macro, expr, stmt);
      break;
    case StmtKind::kCallBlock:
      expr(*static_cast<const CallBlockStmt&>(node).call);
      for_each_child(static_cast<const CallBlockStmt&>(node).macro, expr, stmt);
      break;
    case StmtKind::kGeneration:
      for_each_child(static_cast<const GenerationStmt&>(node).macro, expr, stmt);
      break;
    case StmtKind::kFilterBlock:
      all(static_cast<const FilterBlockStmt&>(node).body);
      expr(*static_cast<const FilterBlockStmt&>(node).filter);
      break;
    case StmtKind::kSet:
      expr(*static_cast<const SetStmt&>(node).target);
      expr(*static_cast<const SetStmt&>(node).value);
      break;
    case StmtKind::kSetBlock:
      expr(*static_cast<const SetBlockStmt&>(node).target);
      maybe(static_cast<const SetBlockStmt&>(node).filter);
      all(static_cast<const SetBlockStmt&>(node).body);
      break;
    case StmtKind::kWith:
      for (const ExprPtr& target : static_cast<const WithStmt&>(node).targets) expr(*target);
      for (const ExprPtr& value : static_cast<const WithStmt&>(node).values) expr(*value);
      all(static_cast<const WithStmt&>(node).body);
      break;
    case StmtKind::kScope:
      all(static_cast<const ScopeStmt&>(node).body);
      break;
    case StmtKind::kBlock:
    case StmtKind::kBreak:
    case StmtKind::kContinue:
      break;
  }
}

}  // namespace m2::jinja
