#include "jinja/scope.h"

#include <algorithm>
#include <set>

#include "jinja/ast_visit.h"
#include "jinja/builtins.h"
#include "jinja/fault.h"
#include "jinja/scope_names.h"
#include "jinja/symbols.h"

namespace m2::jinja {
namespace {

[[noreturn]] void fail_at(uint32_t offset, const std::string& message) {
  throw Fault(ErrorCode::kInvalidArgument, message, offset);
}

struct Frame {
  const Symbols& symbols;
  bool toplevel = false;  // sets are seen by blocks
  bool soft = false;      // in a condition: unknown filters wait until they are used
  bool in_loop = false;   // break and continue have a target

  [[nodiscard]] Frame softened() const { return {symbols, toplevel, true, in_loop}; }
};

// Fills the tree in, frame by frame.
class Annotator {
 public:
  void run(Ast& ast) {
    FunctionScope function{nullptr, &ast.function, {}};
    Symbols symbols(&function, nullptr);
    collect(ast.body, symbols);
    annotate(ast.body, {.symbols = symbols, .toplevel = true});
    ast.frame = symbols.frame_info();
  }

 private:
  static SlotRef resolve(const std::string& name, uint32_t offset, const Frame& frame) {
    const auto reference = frame.symbols.find(name);
    if (!reference) fail_at(offset, "the name '" + name + "' cannot be used here");
    return slot_ref(frame.symbols.function(), *reference);
  }

  void annotate(Expr& node, const Frame& frame) {
    switch (node.kind) {
      case ExprKind::kName: {
        auto& name = static_cast<NameExpr&>(node);
        name.slot = resolve(name.name, name.offset, frame);
        name.exported = frame.toplevel && name.use == NameUse::kStore;
        return;
      }
      case ExprKind::kNamespaceRef: {
        auto& ref = static_cast<NamespaceRefExpr&>(node);
        ref.slot = resolve(ref.name, ref.offset, frame);
        return;
      }
      case ExprKind::kConditional:
        return annotate_children(node, frame.softened());
      case ExprKind::kFilter: {
        auto& filter = static_cast<AppliedExpr&>(node);
        filter.filter = find_filter(filter.name);
        if (filter.filter == nullptr && !frame.soft) {
          fail_at(node.offset, "no filter named '" + filter.name + "'");
        }
        return annotate_children(node, frame);
      }
      case ExprKind::kTest: {
        auto& test = static_cast<AppliedExpr&>(node);
        test.test = find_test(test.name);
        if (test.test == nullptr && !frame.soft) {
          fail_at(node.offset, "no test named '" + test.name + "'");
        }
        return annotate_children(node, frame);
      }
      default:
        return annotate_children(node, frame);
    }
  }

  void annotate_children(Expr& node, const Frame& frame) {
    for_each_child(node, [&](const Expr& child) { annotate(const_cast<Expr&>(child), frame); });
  }

  void annotate(Body& body, const Frame& frame) {
    for (const StmtPtr& child : body) annotate(*child, frame);
  }

  void annotate(Stmt& node, const Frame& frame) {
    switch (node.kind) {
      case StmtKind::kOutput:
        for (const ExprPtr& part : static_cast<OutputStmt&>(node).parts) annotate(*part, frame);
        break;
      case StmtKind::kIf: {
        auto& conditional = static_cast<IfStmt&>(node);
        for (auto& branch : conditional.branches) {
          annotate(*branch.test, frame.softened());
          annotate(branch.body, frame.softened());
        }
        annotate(conditional.otherwise, frame.softened());
        break;
      }
      case StmtKind::kFor:
        annotate_for(static_cast<ForStmt&>(node), frame);
        break;
      case StmtKind::kMacro: {
        auto& macro = static_cast<MacroStmt&>(node);
        annotate_macro(macro.macro, node.offset, frame);
        macro.slot = resolve(macro.name, node.offset, frame).index;
        macro.exported = frame.toplevel;
        break;
      }
      case StmtKind::kCallBlock:
        annotate_macro(static_cast<CallBlockStmt&>(node).macro, node.offset, frame);
        annotate(*static_cast<CallBlockStmt&>(node).call, frame);
        break;
      case StmtKind::kGeneration:
        annotate_macro(static_cast<GenerationStmt&>(node).macro, node.offset, frame);
        break;
      case StmtKind::kFilterBlock:
        annotate_filter_block(static_cast<FilterBlockStmt&>(node), frame);
        break;
      case StmtKind::kSet:
        annotate_set(static_cast<SetStmt&>(node), frame);
        break;
      case StmtKind::kSetBlock:
        annotate_set_block(static_cast<SetBlockStmt&>(node), frame);
        break;
      case StmtKind::kWith:
        annotate_with(static_cast<WithStmt&>(node), frame);
        break;
      case StmtKind::kScope: {
        auto& scope = static_cast<ScopeStmt&>(node);
        Symbols symbols(frame.symbols.function(), &frame.symbols);
        collect(scope.body, symbols);
        annotate(scope.body, {.symbols = symbols, .in_loop = frame.in_loop});
        scope.frame = symbols.frame_info();
        break;
      }
      case StmtKind::kBlock:
        annotate_block(static_cast<BlockStmt&>(node), frame);
        break;
      case StmtKind::kBreak:
      case StmtKind::kContinue:
        if (!frame.in_loop) fail_at(node.offset, "break or continue outside of a loop");
        break;
    }
  }

  void annotate_for(ForStmt& node, const Frame& frame) {
    if (stores_loop(node)) fail_at(node.offset, "cannot assign to the special variable loop");
    FunctionScope* outer = frame.symbols.function();
    FunctionScope own{outer, &node.function, {}};  // used by recursive loops only
    FunctionScope* function = node.recursive ? &own : outer;
    const bool in_outer_loop = !node.recursive && frame.in_loop;

    Symbols symbols(function, &frame.symbols);
    node.uses_loop =
        node.recursive || !undeclared_names({"loop"}, node.body).empty() || has_scoped_block(node);
    if (node.uses_loop) node.loop_slot = symbols.declare_parameter("loop");
    collect_parameters(*node.target, symbols);
    collect(node.body, symbols);

    if (node.test) annotate_loop_filter(node, frame);
    annotate(*node.target, {.symbols = symbols});
    annotate(*node.iterable, frame);
    annotate(node.body, {.symbols = symbols, .in_loop = true});
    node.frame = symbols.frame_info();

    Symbols else_symbols(function, &frame.symbols);
    collect(node.otherwise, else_symbols);
    annotate(node.otherwise, {.symbols = else_symbols, .in_loop = in_outer_loop});
    node.otherwise_frame = else_symbols.frame_info();
  }

  void annotate_loop_filter(ForStmt& node, const Frame& frame) {
    FunctionScope function{frame.symbols.function(), &node.filter_function, {}};
    Symbols symbols(&function, &frame.symbols);
    collect_parameters(*node.filter_target, symbols);
    collect(*node.test, symbols);
    const Frame filter_frame{.symbols = symbols};
    annotate(*node.filter_target, filter_frame);
    annotate(*node.test, filter_frame);
    node.filter_frame = symbols.frame_info();
  }

  void annotate_macro(MacroBody& macro, uint32_t offset, const Frame& frame) {
    FunctionScope function{frame.symbols.function(), &macro.function, {}};
    Symbols symbols(&function, &frame.symbols);
    collect(macro, symbols);
    const auto is_parameter = [&](std::string_view name) {
      return std::any_of(macro.parameters.begin(), macro.parameters.end(),
                         [&](const auto& parameter) { return parameter->name == name; });
    };
    const auto undeclared = undeclared_names({"caller", "kwargs", "varargs"}, macro.body);
    macro.uses_caller = undeclared.contains("caller");
    if (macro.uses_caller && is_parameter("caller")) {
      check_caller_default(macro, offset);
    } else if (macro.uses_caller) {
      macro.caller_slot = symbols.declare_parameter("caller");
    }
    macro.uses_kwargs = undeclared.contains("kwargs") && !is_parameter("kwargs");
    if (macro.uses_kwargs) macro.kwargs_slot = symbols.declare_parameter("kwargs");
    macro.uses_varargs = undeclared.contains("varargs") && !is_parameter("varargs");
    if (macro.uses_varargs) macro.varargs_slot = symbols.declare_parameter("varargs");
    collect(macro, symbols);

    const Frame inside{.symbols = symbols};
    for (const auto& parameter : macro.parameters) annotate(*parameter, inside);
    for (const ExprPtr& value : macro.defaults) annotate(*value, inside);
    annotate(macro.body, inside);
    macro.frame = symbols.frame_info();
  }

  static void check_caller_default(const MacroBody& macro, uint32_t offset) {
    const size_t first_default = macro.parameters.size() - macro.defaults.size();
    for (size_t i = 0; i < first_default; ++i) {
      if (macro.parameters[i]->name == "caller") {
        fail_at(offset, "the argument 'caller' must be omitted or have a default");
      }
    }
  }

  void annotate_filter_block(FilterBlockStmt& node, const Frame& frame) {
    Symbols symbols(frame.symbols.function(), &frame.symbols);
    collect(node.body, symbols);
    collect(*node.filter, symbols);
    const Frame inside{.symbols = symbols, .in_loop = frame.in_loop};
    annotate(node.body, inside);
    annotate(*node.filter, inside);
    node.frame = symbols.frame_info();
  }

  void annotate_set(SetStmt& node, const Frame& frame) {
    annotate(*node.value, frame);
    annotate(*node.target, frame);
    find_namespace_refs(*node.target, node.namespace_refs);
  }

  static void find_namespace_refs(const Expr& target, std::vector<const NamespaceRefExpr*>& refs) {
    if (target.kind == ExprKind::kNamespaceRef) {
      refs.push_back(&static_cast<const NamespaceRefExpr&>(target));
    }
    for_each_child(target, [&](const Expr& child) { find_namespace_refs(child, refs); });
  }

  void annotate_set_block(SetBlockStmt& node, const Frame& frame) {
    Symbols symbols(frame.symbols.function(), &frame.symbols);
    collect(node.body, symbols);
    const Frame inside{.symbols = symbols, .in_loop = frame.in_loop};
    annotate(node.body, inside);
    annotate(*node.target, frame);
    // As in Jinja2 the arguments of the filter are no uses of names: those must be known already.
    if (node.filter) annotate(*node.filter, inside);
    node.frame = symbols.frame_info();
  }

  void annotate_with(WithStmt& node, const Frame& frame) {
    Symbols symbols(frame.symbols.function(), &frame.symbols);
    for (const ExprPtr& target : node.targets) collect(*target, symbols);
    collect(node.body, symbols);
    const Frame inside{.symbols = symbols, .in_loop = frame.in_loop};
    for (const ExprPtr& target : node.targets) annotate(*target, inside);
    for (const ExprPtr& value : node.values) annotate(*value, frame);
    annotate(node.body, inside);
    node.frame = symbols.frame_info();
  }

  // A block sees the variables of the template, not those around it.
  void annotate_block(BlockStmt& node, const Frame& frame) {
    if (!block_names_.insert(node.name).second) {
      fail_at(node.offset, "block '" + node.name + "' defined twice");
    }
    if (node.scoped) {
      for (const auto& [name, reference] : frame.symbols.all_stores()) {
        node.visible.emplace_back(name, slot_ref(frame.symbols.function(), reference));
      }
    }
    FunctionScope function{nullptr, &node.function, {}};
    Symbols symbols(&function, nullptr);
    collect(node.body, symbols);
    annotate(node.body, {.symbols = symbols});
    node.frame = symbols.frame_info();
  }

  std::set<std::string> block_names_;
};

}  // namespace

void analyze_scopes(Ast& ast) { Annotator().run(ast); }

}  // namespace m2::jinja
