#include "jinja/interpreter.h"

#include "jinja/builtins.h"
#include "jinja/callables.h"
#include "jinja/fault.h"
#include "jinja/interpreter_scopes.h"
#include "jinja/repr.h"

namespace m2::jinja {
namespace {

// Templates may change lists and dicts of their input; the caller's stay as they are.
Value copy_containers(const Value& value) {
  switch (value.kind()) {
    case Kind::kList:
    case Kind::kTuple: {
      std::vector<Value> items;
      items.reserve(value.items().size());
      for (const Value& item : value.items()) items.push_back(copy_containers(item));
      return value.is(Kind::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
    }
    case Kind::kDict: {
      Value copy = Value::dict();
      for (const auto& [key, item] : value.as_dict().entries()) {
        copy.as_dict().set(key, copy_containers(item));
      }
      return copy;
    }
    default:
      return value;
  }
}

}  // namespace

Interpreter::Interpreter(const Ast& ast, const Value& context, const RenderOptions& options)
    : ast_(ast),
      runtime_(options),
      context_(copy_containers(context)),
      exported_(Value::dict()),
      root_output_(options.limits.max_output_bytes) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, context.is_dict(), "template variables must be a dict");
}

RenderResult Interpreter::run() {
  {
    const ActivationScope scope(*this, ast_.function.num_slots, nullptr);
    activation_->captured = true;  // macros and blocks refer to it until the end
    enter_frame(ast_.frame);
    execute(ast_.body);
  }
  Str text = root_output_.take();
  return {std::string(text.view()), text.untrusted(), std::move(generation_)};
}

// ---- Variables ----

Value& Interpreter::slot(const SlotRef& ref) {
  Activation* activation = activation_;
  for (uint32_t i = 0; i < ref.hops; ++i) activation = activation->parent;
  return activation->slots[ref.index];
}

Value Interpreter::lookup(const std::string& name) const {
  if (block_variables_ != nullptr) {
    for (const auto& [variable, value] : *block_variables_) {
      if (variable == name) return value;
    }
  }
  if (const Value* value = exported_.as_dict().find(name)) return *value;
  if (const Value* value = context_.as_dict().find(name)) return *value;
  return find_global(name);
}

void Interpreter::enter_frame(const FrameInfo& frame) {
  for (const FrameLoad& load : frame.loads) {
    Value& target = activation_->slots[load.slot];
    switch (load.action) {
      case FrameLoad::Action::kParameter:
        break;
      case FrameLoad::Action::kResolve:
        target = lookup(load.name);
        break;
      case FrameLoad::Action::kAlias:
        target = slot(load.source);
        break;
      case FrameLoad::Action::kUndefined:
        target = Value::missing();
        break;
    }
  }
}

void Interpreter::leave_frame(const FrameInfo& frame) {
  for (const FrameLoad& load : frame.loads) activation_->slots[load.slot] = Value::missing();
}

void Interpreter::assign(const Expr& target, const Value& value) {
  if (target.kind == ExprKind::kName) {
    const auto& name = static_cast<const NameExpr&>(target);
    slot(name.slot) = value;
    if (name.exported) exported_.as_dict().set(name.name, value);
  } else if (target.kind == ExprKind::kNamespaceRef) {
    const auto& ref = static_cast<const NamespaceRefExpr&>(target);
    const Value space = slot(ref.slot);
    runtime_.note_mutation(space);
    space.get_if<Namespace>()->attributes.set(ref.attribute, value);
  } else {
    unpack(static_cast<const SequenceExpr&>(target), value);
  }
}

void Interpreter::unpack(const SequenceExpr& target, const Value& value) {
  const std::vector<Value> items = runtime_.to_vector(value);
  if (items.size() != target.items.size()) {
    raise("cannot unpack ", items.size(), " values into ", target.items.size(), " names");
  }
  for (size_t i = 0; i < items.size(); ++i) assign(*target.items[i], items[i]);
}

// ---- Statements ----

Interpreter::Flow Interpreter::execute(const Body& body) {
  for (const StmtPtr& child : body) {
    const Flow flow = execute(*child);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute(const Stmt& node) {
  runtime_.charge();
  runtime_.check_stack();
  try {
    return dispatch(node);
  } catch (Fault& fault) {
    if (!fault.offset) fault.offset = node.offset;
    throw;
  }
}

Interpreter::Flow Interpreter::dispatch(const Stmt& node) {
  switch (node.kind) {
    case StmtKind::kOutput:
      execute_output(static_cast<const OutputStmt&>(node));
      break;
    case StmtKind::kIf:
      return execute_if(static_cast<const IfStmt&>(node));
    case StmtKind::kFor:
      return execute_for(static_cast<const ForStmt&>(node));
    case StmtKind::kMacro:
      execute_macro(static_cast<const MacroStmt&>(node));
      break;
    case StmtKind::kCallBlock:
      execute_call_block(static_cast<const CallBlockStmt&>(node));
      break;
    case StmtKind::kGeneration:
      execute_generation(static_cast<const GenerationStmt&>(node));
      break;
    case StmtKind::kFilterBlock:
      return execute_filter_block(static_cast<const FilterBlockStmt&>(node));
    case StmtKind::kSet:
      execute_set(static_cast<const SetStmt&>(node));
      break;
    case StmtKind::kSetBlock:
      return execute_set_block(static_cast<const SetBlockStmt&>(node));
    case StmtKind::kWith:
      return execute_with(static_cast<const WithStmt&>(node));
    case StmtKind::kScope: {
      const auto& scope = static_cast<const ScopeStmt&>(node);
      enter_frame(scope.frame);
      const Flow flow = execute(scope.body);
      leave_frame(scope.frame);
      return flow;
    }
    case StmtKind::kBlock:
      execute_block(static_cast<const BlockStmt&>(node));
      break;
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

void Interpreter::print(const Value& value) {
  const size_t before = output_->size();
  append_str(*output_, value, runtime_);
  runtime_.charge((output_->size() - before) / 16);
}

void Interpreter::print_text(const Value& value) {
  if (!value.is_string()) raise("expected str instance, ", type_name(value), " found");
  print(value);
}

void Interpreter::execute_output(const OutputStmt& node) {
  for (const ExprPtr& part : node.parts) print(evaluate(*part));
}

Interpreter::Flow Interpreter::execute_if(const IfStmt& node) {
  for (const IfStmt::Branch& branch : node.branches) {
    if (truthy(evaluate(*branch.test))) return execute(branch.body);
  }
  return execute(node.otherwise);
}

Interpreter::Flow Interpreter::execute_filter_block(const FilterBlockStmt& node) {
  enter_frame(node.frame);
  Value result;
  {
    OutputScope output(*this);
    const Flow flow = execute(node.body);
    if (flow != Flow::kNormal) return flow;
    result = apply_block_filter(*node.filter, output.take());
  }
  print_text(result);
  leave_frame(node.frame);
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute_set_block(const SetBlockStmt& node) {
  enter_frame(node.frame);
  Value result;
  {
    OutputScope output(*this);
    const Flow flow = execute(node.body);
    if (flow != Flow::kNormal) return flow;
    Str text = output.take();
    result = node.filter ? apply_block_filter(*node.filter, std::move(text))
                         : runtime_.text(std::move(text));
  }
  assign(*node.target, result);
  leave_frame(node.frame);
  return Flow::kNormal;
}

Value Interpreter::apply_block_filter(const Expr& filter, Str text) {
  const Str* const previous = block_text_;
  block_text_ = &text;
  Value result = evaluate(filter);
  block_text_ = previous;
  return result;
}

Interpreter::Flow Interpreter::execute_with(const WithStmt& node) {
  enter_frame(node.frame);
  for (size_t i = 0; i < node.targets.size(); ++i) {
    assign(*node.targets[i], evaluate(*node.values[i]));
  }
  const Flow flow = execute(node.body);
  leave_frame(node.frame);
  return flow;
}

void Interpreter::execute_set(const SetStmt& node) {
  for (const NamespaceRefExpr* ref : node.namespace_refs) {
    if (!slot(ref->slot).is(Kind::kNamespace)) {
      throw Fault(ErrorCode::kInvalidArgument, "cannot assign attribute on non-namespace object",
                  ref->offset);
    }
  }
  assign(*node.target, evaluate(*node.value));
}

void Interpreter::execute_macro(const MacroStmt& node) {
  Value macro = make_macro(node.macro, node.name);
  if (node.exported) exported_.as_dict().set(node.name, macro);
  activation_->slots[node.slot] = std::move(macro);
}

void Interpreter::execute_call_block(const CallBlockStmt& node) {
  Value caller = make_macro(node.macro, "");
  print_text(evaluate_call(static_cast<const CallExpr&>(*node.call), std::move(caller)));
}

void Interpreter::execute_generation(const GenerationStmt& node) {
  Arguments none;
  const Value text = call_macro(node.macro, "", activation_, none);
  const size_t begin = root_output_.size();
  generation_.push_back({begin, begin + text.as_str().size()});
  print(text);
}

void Interpreter::execute_block(const BlockStmt& node) {
  if (node.required) raise("required block '", node.name, "' not found");
  std::vector<std::pair<std::string, Value>> visible;
  for (const auto& [name, ref] : node.visible) {
    if (!slot(ref).is_missing()) visible.emplace_back(name, slot(ref));
  }
  const auto* const previous = block_variables_;
  block_variables_ = node.scoped ? &visible : nullptr;
  {
    const ActivationScope scope(*this, node.function.num_slots, nullptr);
    enter_frame(node.frame);
    execute(node.body);
  }
  block_variables_ = previous;
}

}  // namespace m2::jinja
