// Macros and the loop variable.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/interpreter.h"

namespace m2::jinja {

class MacroObject final : public DynamicObject {
 public:
  MacroObject(Interpreter& interpreter, const MacroBody& macro, std::string name,
              Activation* closure)
      : interpreter_(interpreter), macro_(macro), name_(std::move(name)), closure_(closure) {}
  [[nodiscard]] std::string type_name() const override { return "Macro"; }
  [[nodiscard]] std::string repr(Runtime& runtime) const override;
  [[nodiscard]] bool callable() const override { return true; }
  [[nodiscard]] Value call(Runtime&, Arguments& arguments) override {
    return interpreter_.call_macro(macro_, name_, closure_, arguments);
  }
  [[nodiscard]] Value attribute(Runtime& runtime, std::string_view name) override;

 private:
  Interpreter& interpreter_;
  const MacroBody& macro_;
  std::string name_;  // empty: the body of a call block
  Activation* closure_;
};

/// The items that the `if` of a loop lets pass.
class FilteredIterator final : public Iterator {
 public:
  FilteredIterator(Interpreter& interpreter, const ForStmt& loop, Activation* closure,
                   const Value& iterable);
  [[nodiscard]] std::optional<Value> next(Runtime& runtime) override;

 private:
  Interpreter& interpreter_;
  const ForStmt& loop_;
  Cursor cursor_;
  Activation activation_;
  bool entered_ = false;
};

class LoopObject final : public DynamicObject {
 public:
  /// `closure` is where a recursive loop was defined.
  LoopObject(Interpreter& interpreter, const ForStmt& loop, Activation* closure, Value iterable,
             int depth0);
  /// Moves to the next item.
  [[nodiscard]] std::optional<Value> advance();

  [[nodiscard]] std::string type_name() const override { return "LoopContext"; }
  [[nodiscard]] std::string repr(Runtime& runtime) const override;
  [[nodiscard]] bool callable() const override { return true; }
  [[nodiscard]] Value call(Runtime& runtime, Arguments& arguments) override;
  [[nodiscard]] Value attribute(Runtime& runtime, std::string_view name) override;
  [[nodiscard]] std::optional<Int> length(Runtime& runtime) override;
  [[nodiscard]] bool iterable() const override { return true; }
  [[nodiscard]] std::optional<Value> next_item() override;  // takes it away from the loop
  void clear() override;

  [[nodiscard]] Value cycle(const Arguments& arguments) const;
  [[nodiscard]] Value changed(Runtime& runtime, Arguments& arguments);

 private:
  [[nodiscard]] Value peek();  // missing at the end
  [[nodiscard]] std::optional<Value> take();

  Interpreter& interpreter_;
  const ForStmt& loop_;
  Activation* closure_;
  Value iterable_;
  Cursor cursor_;
  std::vector<Value> rest_;  // what was read to count it
  size_t rest_position_ = 0;
  Int index0_ = -1;
  Int depth0_;
  std::optional<Int> length_;
  Value before_ = Value::missing();
  Value current_ = Value::missing();
  Value after_ = Value::missing();
  Value last_changed_ = Value::missing();
};

}  // namespace m2::jinja
