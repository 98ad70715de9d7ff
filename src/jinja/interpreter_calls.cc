// Loops and macros.
#include <algorithm>

#include "jinja/callables.h"
#include "jinja/fault.h"
#include "jinja/interpreter.h"
#include "jinja/interpreter_scopes.h"

namespace m2::jinja {

Interpreter::Flow Interpreter::execute_for(const ForStmt& node) {
  const Value iterable = evaluate(*node.iterable);
  if (!node.recursive) return run_loop(node, iterable, 0, activation_);
  activation_->captured = true;  // the loop variable can start the loop again
  print(run_recursive_loop(node, activation_, iterable, 0));
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_loop(const ForStmt& node, const Value& iterable, int depth,
                                        Activation* closure) {
  Value items = iterable;
  if (node.test) {
    closure->captured = true;  // the filter runs later, perhaps after this function
    items = Value::object(std::make_shared<FilteredIterator>(*this, node, closure, iterable));
  }
  const bool ran =
      node.uses_loop ? run_tracked_loop(node, items, depth, closure) : run_plain_loop(node, items);
  leave_frame(node.frame);
  if (ran || node.otherwise.empty()) return Flow::kNormal;
  enter_frame(node.otherwise_frame);
  const Flow flow = execute(node.otherwise);
  leave_frame(node.otherwise_frame);
  return flow;
}

bool Interpreter::run_plain_loop(const ForStmt& node, const Value& iterable) {
  bool ran = false;
  Cursor cursor(runtime_, iterable);
  while (const auto item = cursor.next()) {
    assign(*node.target, *item);
    enter_frame(node.frame);
    const Flow flow = execute(node.body);
    if (flow == Flow::kNormal) ran = true;
    if (flow == Flow::kBreak) break;
  }
  return ran;
}

bool Interpreter::run_tracked_loop(const ForStmt& node, const Value& iterable, int depth,
                                   Activation* closure) {
  bool ran = false;
  const auto loop = std::make_shared<LoopObject>(*this, node, closure, iterable, depth);
  while (const auto item = loop->advance()) {
    assign(*node.target, *item);
    activation_->slots[node.loop_slot] = Value::object(loop);
    enter_frame(node.frame);
    const Flow flow = execute(node.body);
    if (flow == Flow::kNormal) ran = true;
    if (flow == Flow::kBreak) break;
  }
  return ran;
}

Value Interpreter::run_recursive_loop(const ForStmt& loop, Activation* closure,
                                      const Value& iterable, int depth) {
  runtime_.check_stack();
  const CallDepth call(*this);
  const ActivationScope scope(*this, loop.function.num_slots, closure);
  OutputScope output(*this);
  run_loop(loop, iterable, depth, closure);
  return runtime_.text(output.take());
}

std::optional<Value> Interpreter::filter_item(const ForStmt& loop, Activation& activation,
                                              const Value& item) {
  Activation* const previous = activation_;
  activation_ = &activation;
  enter_frame(loop.filter_frame);
  assign(*loop.filter_target, item);
  std::optional<Value> result;
  if (truthy(evaluate(*loop.test))) result = evaluate(*loop.filter_target);
  activation_ = previous;
  return result;
}

Value Interpreter::make_macro(const MacroBody& macro, std::string name) {
  activation_->captured = true;
  return Value::object(std::make_shared<MacroObject>(*this, macro, std::move(name), activation_));
}

Value Interpreter::call_macro(const MacroBody& macro, const std::string& name, Activation* closure,
                              Arguments& arguments) {
  runtime_.check_stack();
  const CallDepth call(*this);
  const ActivationScope scope(*this, macro.function.num_slots, closure);
  OutputScope output(*this);
  bind_macro_arguments(macro, name, arguments);
  enter_frame(macro.frame);
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    Value& parameter = slot(macro.parameters[i]->slot);
    if (!parameter.is_missing()) continue;
    const size_t first_default = macro.parameters.size() - macro.defaults.size();
    parameter =
        i >= first_default
            ? evaluate(*macro.defaults[i - first_default])
            : Value::undefined("parameter '" + macro.parameters[i]->name + "' was not provided");
  }
  execute(macro.body);
  return runtime_.text(output.take());
}

void Interpreter::bind_macro_arguments(const MacroBody& macro, const std::string& name,
                                       Arguments& arguments) {
  auto& keyword = arguments.keyword;
  const auto take_keyword = [&](std::string_view wanted) {
    const auto found = std::find_if(keyword.begin(), keyword.end(),
                                    [&](const auto& entry) { return entry.first == wanted; });
    if (found == keyword.end()) return Value::missing();
    Value value = std::move(found->second);
    keyword.erase(found);
    return value;
  };
  auto& slots = activation_->slots;
  const size_t num_parameters = macro.parameters.size();
  const size_t num_positional = std::min(arguments.positional.size(), num_parameters);
  bool caller_bound = false;
  for (size_t i = 0; i < num_parameters; ++i) {
    const std::string& parameter = macro.parameters[i]->name;
    caller_bound = caller_bound || parameter == "caller";
    slots[macro.parameters[i]->slot.index] =
        i < num_positional ? arguments.positional[i] : take_keyword(parameter);
  }
  if (macro.uses_caller && !caller_bound) {
    Value caller = take_keyword("caller");
    const bool given = !caller.is_missing() && !caller.is_none();
    slots[macro.caller_slot] = given ? std::move(caller) : Value::undefined("No caller defined");
  }
  if (macro.uses_kwargs) {
    Value rest = Value::dict();
    for (auto& [key, value] : keyword) {
      rest.as_dict().set(Value::string(key), std::move(value));
    }
    slots[macro.kwargs_slot] = std::move(rest);
  } else if (!keyword.empty()) {
    raise("macro '", name, "' takes no keyword argument '", keyword[0].first.view(), "'");
  }
  if (macro.uses_varargs) {
    slots[macro.varargs_slot] =
        Value::tuple({arguments.positional.begin() + static_cast<ptrdiff_t>(num_positional),
                      arguments.positional.end()});
  } else if (arguments.positional.size() > num_parameters) {
    raise("macro '", name, "' takes not more than ", num_parameters, " argument(s)");
  }
}

}  // namespace m2::jinja
