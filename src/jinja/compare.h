// Truth, equality, order and hashes of values, as Python has them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "jinja/value.h"

namespace m2::jinja {

/// What a render may still spend; passing the end throws kResourceExhausted.
class StepBudget {
 public:
  explicit StepBudget(uint64_t steps) : steps_left_(steps) {}
  void charge(uint64_t steps = 1) {
    if (steps > steps_left_) exhausted();
    steps_left_ -= steps;
  }

 private:
  [[noreturn]] static void exhausted();
  uint64_t steps_left_;
};

[[nodiscard]] bool truthy(const Value& value);

[[nodiscard]] bool equal(const Value& a, const Value& b, StepBudget& budget, int depth = 0);

/// `a < b` with strict, `a <= b` without. Throws for types that have no order.
[[nodiscard]] bool less(const Value& a, const Value& b, bool strict, StepBudget& budget,
                        int depth = 0);

/// Equal values have equal hashes. Throws for what Python cannot hash.
[[nodiscard]] size_t hash(const Value& value, StepBudget& budget, int depth = 0);

}  // namespace m2::jinja
