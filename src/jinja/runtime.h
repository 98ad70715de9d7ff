// What the built-in parts share during one render: limits, text making, iteration, calls.
#pragma once

#include <cstddef>
#include <ctime>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "jinja/compare.h"
#include "jinja/objects.h"
#include "jinja/template.h"
#include "jinja/value.h"

namespace m2::jinja {

class Runtime {
 public:
  explicit Runtime(const RenderOptions& options);
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  [[nodiscard]] StepBudget& budget() { return budget_; }
  void charge(uint64_t steps = 1) { budget_.charge(steps); }
  /// Pays for reading `bytes` of text.
  void charge_scan(size_t bytes) { budget_.charge(bytes / 64); }

  /// Throws kResourceExhausted when the C++ stack of the render is used up.
  void check_stack() const;

  [[nodiscard]] StrBuilder builder() const { return StrBuilder(options_.limits.max_output_bytes); }
  /// The built text as a value; pays for it.
  [[nodiscard]] Value text(StrBuilder builder);
  [[nodiscard]] Value text(Str text);
  [[nodiscard]] Value list(std::vector<Value> items);

  [[nodiscard]] Value call(const Value& callee, Arguments& arguments);
  [[nodiscard]] std::tm now() const;
  [[nodiscard]] int max_call_depth() const { return options_.limits.max_call_depth; }

  /// To be called before a list, dict or namespace is changed: only changes make cycles of
  /// references, so what was changed is emptied when the render ends.
  void note_mutation(const Value& container);

  // Python's view of values.
  [[nodiscard]] Str str(const Value& value);   // str(value)
  [[nodiscard]] Str repr(const Value& value);  // repr(value)
  [[nodiscard]] bool equal(const Value& a, const Value& b) { return jinja::equal(a, b, budget_); }
  [[nodiscard]] bool less(const Value& a, const Value& b) {
    return jinja::less(a, b, /*strict=*/true, budget_);
  }
  [[nodiscard]] bool contains(const Value& container, const Value& item);
  /// len(value), or nothing for what has no length.
  [[nodiscard]] std::optional<Int> length(const Value& value);
  [[nodiscard]] std::vector<Value> to_vector(const Value& iterable);

 private:
  const RenderOptions& options_;
  StepBudget budget_;
  const char* stack_base_;
  std::vector<std::shared_ptr<Object>> mutated_;
};

/// Walks any iterable; pays one step for each item. Throws for what cannot be iterated.
class Cursor {
 public:
  Cursor(Runtime& runtime, Value iterable);
  [[nodiscard]] std::optional<Value> next();

  [[nodiscard]] static bool can_iterate(const Value& value);

 private:
  Runtime& runtime_;
  Value iterable_;
  size_t position_ = 0;       // index, or byte of a string
  size_t expected_size_ = 0;  // of a dict, which must not change under way
};

/// Arguments of a call matched to the names of parameters, as Python does it.
class BoundArguments {
 public:
  enum class Keywords { kAllowed, kForbidden };
  BoundArguments(std::string_view function, Arguments& arguments,
                 std::initializer_list<std::string_view> names, size_t num_required,
                 Keywords keywords = Keywords::kAllowed);

  [[nodiscard]] bool has(size_t i) const { return !values_[i].is_missing(); }
  [[nodiscard]] const Value& operator[](size_t i) const { return values_[i]; }
  [[nodiscard]] Value value_or(size_t i, const Value& fallback) const {
    return has(i) ? values_[i] : fallback;
  }
  [[nodiscard]] bool flag(size_t i, bool fallback = false) const {
    return has(i) ? truthy(values_[i]) : fallback;
  }
  /// The integer at `i`; throws for other types.
  [[nodiscard]] Int integer(size_t i) const;
  [[nodiscard]] Int integer_or(size_t i, Int fallback) const {
    return has(i) ? integer(i) : fallback;
  }
  /// The string at `i`; throws for other types.
  [[nodiscard]] const Str& text(size_t i) const;

 private:
  std::string_view function_;
  std::vector<Value> values_;
};

/// An integer index, as Python's operator.index gives it. Throws for other types.
[[nodiscard]] Int to_index(const Value& value);
/// A count that is used as an amount of memory or text: clamped to what no limit allows.
[[nodiscard]] size_t clamp_count(Int count);

}  // namespace m2::jinja
