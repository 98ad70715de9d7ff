#include "jinja/scope_names.h"

#include <algorithm>
#include <utility>

#include "jinja/ast_visit.h"

namespace m2::jinja {

void collect(const Expr& node, Symbols& symbols) {
  if (node.kind == ExprKind::kName) {
    const auto& name = static_cast<const NameExpr&>(node);
    switch (name.use) {
      case NameUse::kLoad:
        symbols.load(name.name);
        break;
      case NameUse::kStore:
        symbols.store(name.name);
        break;
      case NameUse::kParameter:
        symbols.declare_parameter(name.name);
        break;
    }
  } else if (node.kind == ExprKind::kNamespaceRef) {
    symbols.load(static_cast<const NamespaceRefExpr&>(node).name);
  } else {
    for_each_child(node, [&](const Expr& child) { collect(child, symbols); });
  }
}

void collect_parameters(const Expr& target, Symbols& symbols) {
  if (target.kind == ExprKind::kName) {
    symbols.declare_parameter(static_cast<const NameExpr&>(target).name);
  } else {
    for_each_child(target, [&](const Expr& child) { collect_parameters(child, symbols); });
  }
}

namespace {

void collect(const Stmt& node, Symbols& symbols);

void collect_if(const IfStmt& node, size_t first, Symbols& symbols) {
  collect(*node.branches[first].test, symbols);
  std::vector<Symbols> branches(3, symbols);
  collect(node.branches[first].body, branches[0]);
  if (first == 0) {
    for (size_t i = 1; i < node.branches.size(); ++i) collect_if(node, i, branches[1]);
    collect(node.otherwise, branches[2]);
  }
  symbols.update_from_branches(branches);
}

void collect(const Stmt& node, Symbols& symbols) {
  switch (node.kind) {
    case StmtKind::kOutput:
      for (const ExprPtr& part : static_cast<const OutputStmt&>(node).parts) {
        collect(*part, symbols);
      }
      break;
    case StmtKind::kIf:
      collect_if(static_cast<const IfStmt&>(node), 0, symbols);
      break;
    case StmtKind::kFor:
      collect(*static_cast<const ForStmt&>(node).iterable, symbols);
      break;
    case StmtKind::kMacro:
      symbols.store(static_cast<const MacroStmt&>(node).name);
      break;
    case StmtKind::kCallBlock:
      collect(*static_cast<const CallBlockStmt&>(node).call, symbols);
      break;
    case StmtKind::kFilterBlock:
      collect(*static_cast<const FilterBlockStmt&>(node).filter, symbols);
      break;
    case StmtKind::kSet:
      collect(*static_cast<const SetStmt&>(node).value, symbols);
      collect(*static_cast<const SetStmt&>(node).target, symbols);
      break;
    case StmtKind::kSetBlock:
      collect(*static_cast<const SetBlockStmt&>(node).target, symbols);
      break;
    case StmtKind::kWith:
      for (const ExprPtr& value : static_cast<const WithStmt&>(node).values) {
        collect(*value, symbols);
      }
      break;
    case StmtKind::kScope:
    case StmtKind::kBlock:
    case StmtKind::kGeneration:
    case StmtKind::kBreak:
    case StmtKind::kContinue:
      break;
  }
}

}  // namespace

void collect(const Body& body, Symbols& symbols) {
  for (const StmtPtr& child : body) collect(*child, symbols);
}

void collect(const MacroBody& macro, Symbols& symbols) {
  for (const auto& parameter : macro.parameters) collect(*parameter, symbols);
  for (const ExprPtr& value : macro.defaults) collect(*value, symbols);
  collect(macro.body, symbols);
}

namespace {

class UndeclaredNames {
 public:
  explicit UndeclaredNames(std::set<std::string> names) : names_(std::move(names)) {}

  std::set<std::string> in(const Body& body) {
    for (const StmtPtr& child : body) visit(*child);
    return undeclared_;
  }

 private:
  void visit(const Expr& node) {
    if (undeclared_ == names_) return;
    if (node.kind == ExprKind::kName) {
      const auto& name = static_cast<const NameExpr&>(node);
      if (name.use == NameUse::kLoad && names_.contains(name.name)) {
        undeclared_.insert(name.name);
      } else {
        names_.erase(name.name);
      }
    }
    for_each_child(node, [this](const Expr& child) { visit(child); });
  }

  void visit(const Stmt& node) {
    if (undeclared_ == names_) return;
    for_each_child(
        node, [this](const Expr& child) { visit(child); },
        [this](const Stmt& child) { visit(child); });
  }

  std::set<std::string> names_;
  std::set<std::string> undeclared_;
};

bool stores_loop(const Expr& node) {
  if (node.kind == ExprKind::kName) {
    const auto& name = static_cast<const NameExpr&>(node);
    return name.use == NameUse::kStore && name.name == "loop";
  }
  bool found = false;
  for_each_child(node, [&](const Expr& child) { found = found || stores_loop(child); });
  return found;
}

}  // namespace

std::set<std::string> undeclared_names(std::set<std::string> names, const Body& body) {
  return UndeclaredNames(std::move(names)).in(body);
}

bool stores_loop(const Stmt& node) {
  bool found = false;
  for_each_child(
      node, [&](const Expr& child) { found = found || stores_loop(child); },
      [&](const Stmt& child) { found = found || stores_loop(child); });
  return found;
}

bool has_scoped_block(const Stmt& node) {
  if (node.kind == StmtKind::kBlock) {
    const auto& block = static_cast<const BlockStmt&>(node);
    return block.scoped || std::any_of(block.body.begin(), block.body.end(),
                                       [](const auto& child) { return has_scoped_block(*child); });
  }
  bool found = false;
  for_each_child(
      node, [](const Expr&) {},
      [&](const Stmt& child) { found = found || has_scoped_block(child); });
  return found;
}

}  // namespace m2::jinja
