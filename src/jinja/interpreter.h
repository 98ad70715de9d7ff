// Runs the syntax tree.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/ast.h"
#include "jinja/runtime.h"
#include "jinja/template.h"

namespace m2::jinja {

/// The variables of one call of a function.
struct Activation {
  Activation(uint32_t num_slots, Activation* outer)
      : slots(num_slots, Value::missing()), parent(outer) {}
  std::vector<Value> slots;
  Activation* parent;     // of the function around, for its variables
  bool captured = false;  // something made here may come back to these variables later
};

/// One render. Not copied, not shared between threads.
class Interpreter {
 public:
  Interpreter(const Ast& ast, const Value& context, const RenderOptions& options);
  [[nodiscard]] RenderResult run();

  // For macros and loops, which come back here when templates call them.
  [[nodiscard]] Value call_macro(const MacroBody& macro, const std::string& name,
                                 Activation* closure, Arguments& arguments);
  [[nodiscard]] Value run_recursive_loop(const ForStmt& loop, Activation* closure,
                                         const Value& iterable, int depth);
  /// What the filter of `loop` makes of `item`: nothing when it does not pass, and what the targets
  /// unpack comes out as tuples. Runs in an activation made by the caller.
  [[nodiscard]] std::optional<Value> filter_item(const ForStmt& loop, Activation& activation,
                                                 const Value& item);
  [[nodiscard]] Runtime& runtime() { return runtime_; }

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  class ActivationScope;
  class OutputScope;
  class CallDepth;

  // Statements (interpreter.cc).
  Flow execute(const Body& body);
  Flow execute(const Stmt& node);
  Flow dispatch(const Stmt& node);
  void execute_output(const OutputStmt& node);
  Flow execute_if(const IfStmt& node);
  Flow execute_for(const ForStmt& node);
  Flow run_loop(const ForStmt& node, const Value& iterable, int depth, Activation* closure);
  // Whether any run of the body came to its end: else the else branch follows.
  bool run_plain_loop(const ForStmt& node, const Value& iterable);
  bool run_tracked_loop(const ForStmt& node, const Value& iterable, int depth, Activation* closure);
  Flow execute_filter_block(const FilterBlockStmt& node);
  Flow execute_set_block(const SetBlockStmt& node);
  Value apply_block_filter(const Expr& filter, Str text);
  Flow execute_with(const WithStmt& node);
  void execute_set(const SetStmt& node);
  void execute_macro(const MacroStmt& node);
  void execute_call_block(const CallBlockStmt& node);
  void execute_generation(const GenerationStmt& node);
  void execute_block(const BlockStmt& node);
  void print(const Value& value);
  void print_text(const Value& value);  // results of filter and call blocks are not converted

  // Variables.
  [[nodiscard]] Value& slot(const SlotRef& ref);
  [[nodiscard]] Value lookup(const std::string& name) const;
  void enter_frame(const FrameInfo& frame);
  void leave_frame(const FrameInfo& frame);
  void assign(const Expr& target, const Value& value);
  void unpack(const SequenceExpr& target, const Value& value);
  void bind_macro_arguments(const MacroBody& macro, const std::string& name, Arguments& arguments);
  [[nodiscard]] Value make_macro(const MacroBody& macro, std::string name);

  // Expressions (evaluator.cc).
  Value evaluate(const Expr& node);
  Value dispatch(const Expr& node);
  Value evaluate_name(const NameExpr& node);
  Value evaluate_sequence(const SequenceExpr& node);
  Value evaluate_dict(const DictExpr& node);
  Value evaluate_unary(const UnaryExpr& node);
  Value evaluate_binary(const BinaryExpr& node);
  Value evaluate_compare(const CompareExpr& node);
  Value evaluate_concat(const ConcatExpr& node);
  Value evaluate_conditional(const ConditionalExpr& node);
  Value evaluate_item(const ItemExpr& node);
  Value evaluate_call(const CallExpr& node, std::optional<Value> caller);
  Value evaluate_filter(const AppliedExpr& node);
  Value evaluate_test(const AppliedExpr& node);
  Value evaluate_optional(const ExprPtr& node);
  void evaluate_arguments(const CallArguments& source, Arguments& arguments);

  const Ast& ast_;
  Runtime runtime_;
  Value context_;   // a dict of its own: templates may change what is in it
  Value exported_;  // top level variables as blocks see them
  const std::vector<std::pair<std::string, Value>>* block_variables_ = nullptr;
  StrBuilder root_output_;
  StrBuilder* output_ = &root_output_;
  Activation* activation_ = nullptr;
  std::vector<std::unique_ptr<Activation>> captured_;
  int call_depth_ = 0;
  const Str* block_text_ = nullptr;  // input of the filter of a filter block or set block
  std::vector<ByteRange> generation_;
};

}  // namespace m2::jinja
