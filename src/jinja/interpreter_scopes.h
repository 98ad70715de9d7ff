// What the interpreter sets up for a while and takes back when a scope ends.
#pragma once

#include <memory>
#include <utility>

#include "jinja/fault.h"
#include "jinja/interpreter.h"

namespace m2::jinja {

// Makes an activation current; keeps it when something made in it may need it later.
class Interpreter::ActivationScope {
 public:
  ActivationScope(Interpreter& interpreter, uint32_t num_slots, Activation* closure)
      : interpreter_(interpreter),
        activation_(std::make_unique<Activation>(num_slots, closure)),
        previous_(interpreter.activation_) {
    interpreter.runtime_.charge(1 + num_slots);
    interpreter.activation_ = activation_.get();
  }
  ~ActivationScope() {
    interpreter_.activation_ = previous_;
    if (activation_->captured) interpreter_.captured_.push_back(std::move(activation_));
  }
  ActivationScope(const ActivationScope&) = delete;
  ActivationScope& operator=(const ActivationScope&) = delete;

 private:
  Interpreter& interpreter_;
  std::unique_ptr<Activation> activation_;
  Activation* previous_;
};

// Collects what is printed.
class Interpreter::OutputScope {
 public:
  explicit OutputScope(Interpreter& interpreter)
      : interpreter_(interpreter),
        buffer_(interpreter.runtime_.builder()),
        previous_(interpreter.output_) {
    interpreter.output_ = &buffer_;
  }
  ~OutputScope() { interpreter_.output_ = previous_; }
  OutputScope(const OutputScope&) = delete;
  OutputScope& operator=(const OutputScope&) = delete;
  [[nodiscard]] Str take() { return buffer_.take(); }

 private:
  Interpreter& interpreter_;
  StrBuilder buffer_;
  StrBuilder* previous_;
};

// Counts macros and recursive loops inside each other.
class Interpreter::CallDepth {
 public:
  explicit CallDepth(Interpreter& interpreter) : depth_(interpreter.call_depth_) {
    if (depth_ >= interpreter.runtime_.max_call_depth()) {
      raise_exhausted("macros and loops call each other too deeply");
    }
    ++depth_;
  }
  ~CallDepth() { --depth_; }
  CallDepth(const CallDepth&) = delete;
  CallDepth& operator=(const CallDepth&) = delete;

 private:
  int& depth_;
};

}  // namespace m2::jinja
