#include "jinja/callables.h"

#include "jinja/fault.h"
#include "jinja/repr.h"

namespace m2::jinja {

std::string MacroObject::repr(Runtime&) const {
  return name_.empty() ? "<Macro anonymous>" : "<Macro '" + name_ + "'>";
}

Value MacroObject::attribute(Runtime&, std::string_view name) {
  if (name == "name") return name_.empty() ? Value::none() : Value::string(name_);
  if (name == "catch_kwargs") return Value::boolean(macro_.uses_kwargs);
  if (name == "catch_varargs") return Value::boolean(macro_.uses_varargs);
  if (name == "caller") return Value::boolean(macro_.uses_caller);
  if (name == "arguments") {
    std::vector<Value> names;
    for (const auto& parameter : macro_.parameters) names.push_back(Value::string(parameter->name));
    return Value::tuple(std::move(names));
  }
  return Value::missing();
}

FilteredIterator::FilteredIterator(Interpreter& interpreter, const ForStmt& loop,
                                   Activation* closure, const Value& iterable)
    : Iterator(iterable.depth() + 1),
      interpreter_(interpreter),
      loop_(loop),
      cursor_(interpreter.runtime(), iterable),
      activation_(loop.filter_function.num_slots, closure) {}

std::optional<Value> FilteredIterator::next(Runtime& runtime) {
  runtime.check_stack();
  while (auto item = cursor_.next()) {
    if (auto passed = interpreter_.filter_item(loop_, activation_, *item)) return passed;
  }
  return std::nullopt;
}

LoopObject::LoopObject(Interpreter& interpreter, const ForStmt& loop, Activation* closure,
                       Value iterable, int depth0)
    : DynamicObject(iterable.depth() + 1),
      interpreter_(interpreter),
      loop_(loop),
      closure_(closure),
      iterable_(std::move(iterable)),
      cursor_(interpreter.runtime(), iterable_),
      depth0_(depth0) {}

std::optional<Value> LoopObject::take() {
  if (rest_position_ < rest_.size()) return rest_[rest_position_++];
  return cursor_.next();
}

Value LoopObject::peek() {
  if (after_.is_missing()) {
    if (auto item = take()) after_ = *std::move(item);
  }
  return after_;
}

std::optional<Value> LoopObject::advance() {
  std::optional<Value> item;
  if (after_.is_missing()) {
    item = take();
  } else {
    item = std::move(after_);
    after_ = Value::missing();
  }
  if (!item) return std::nullopt;
  ++index0_;
  before_ = std::move(current_);
  current_ = *item;
  return item;
}

std::optional<Value> LoopObject::next_item() {
  auto item = advance();
  if (!item) return std::nullopt;
  return Value::tuple({*std::move(item), Value::object(shared_from_this())});
}

std::optional<Int> LoopObject::length(Runtime& runtime) {
  if (length_) return length_;
  length_ = runtime.length(iterable_);
  if (!length_) {  // a generator: read the rest of it
    while (auto item = cursor_.next()) rest_.push_back(*std::move(item));
    length_ = static_cast<Int>(rest_.size()) + index0_ + 1 + (after_.is_missing() ? 0 : 1);
  }
  return length_;
}

std::string LoopObject::repr(Runtime& runtime) const {
  auto& self = const_cast<LoopObject&>(*this);  // the length is found out on the first use
  return "<LoopContext " + int_text(index0_ + 1) + "/" + int_text(*self.length(runtime)) + ">";
}

Value LoopObject::call(Runtime&, Arguments& arguments) {
  const BoundArguments bound("loop", arguments, {"iterable"}, 1);
  if (!loop_.recursive) raise("the loop must have the 'recursive' marker to be called recursively");
  return interpreter_.run_recursive_loop(loop_, closure_, bound[0], static_cast<int>(depth0_) + 1);
}

namespace {

Value call_cycle(Runtime&, const Value& self, Arguments& arguments) {
  return self.get_if<LoopObject>()->cycle(arguments);
}

Value call_changed(Runtime& runtime, const Value& self, Arguments& arguments) {
  runtime.note_mutation(self);
  return self.get_if<LoopObject>()->changed(runtime, arguments);
}

}  // namespace

Value LoopObject::attribute(Runtime& runtime, std::string_view name) {
  if (name == "index0") return Value::integer(index0_);
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(peek().is_missing());
  if (name == "length") return Value::integer(*length(runtime));
  if (name == "revindex0") return Value::integer(*length(runtime) - index0_ - 1);
  if (name == "revindex") return Value::integer(*length(runtime) - index0_);
  if (name == "depth") return Value::integer(depth0_ + 1);
  if (name == "depth0") return Value::integer(depth0_);
  if (name == "previtem") {
    return index0_ == 0 ? Value::undefined("there is no previous item") : before_;
  }
  if (name == "nextitem") {
    Value next = peek();
    return next.is_missing() ? Value::undefined("there is no next item") : next;
  }
  if (name == "cycle" || name == "changed") {
    const auto function = name == "cycle" ? call_cycle : call_changed;
    const std::string_view static_name = name == "cycle" ? "cycle" : "changed";
    return Value::object(
        std::make_shared<BoundMethod>(Value::object(shared_from_this()), static_name, function));
  }
  return Value::missing();
}

Value LoopObject::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty() || !arguments.keyword.empty())
    raise("no items for cycling given");
  return arguments.positional[static_cast<size_t>(index0_) % arguments.positional.size()];
}

Value LoopObject::changed(Runtime& runtime, Arguments& arguments) {
  Value now = Value::tuple(std::move(arguments.positional));
  if (!last_changed_.is_missing() && runtime.equal(last_changed_, now))
    return Value::boolean(false);
  last_changed_ = std::move(now);
  return Value::boolean(true);
}

void LoopObject::clear() {
  last_changed_ = Value::missing();
  rest_.clear();
}

}  // namespace m2::jinja
