#include "jinja/compare.h"

#include <cmath>
#include <functional>

#include "jinja/fault.h"
#include "jinja/objects.h"

namespace m2::jinja {
namespace {

constexpr int kMaxCompareDepth = 2 * kMaxValueDepth;  // lists that were changed may nest deeper

void check_depth(int depth) {
  if (depth > kMaxCompareDepth) raise_exhausted("values are nested too deeply to compare");
}

// -1, 0 or 1; 2 when unordered (NaN). Exact, as Python's comparison of int and float is.
int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    const Int x = a.as_int();
    const Int y = b.as_int();
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (a.is(Kind::kFloat) && b.is(Kind::kFloat)) {
    const double x = a.as_float();
    const double y = b.as_float();
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
  }
  if (a.is(Kind::kFloat)) {
    const int flipped = compare_numbers(b, a);
    return flipped == 2 ? 2 : -flipped;
  }
  const double y = b.as_float();
  if (std::isnan(y)) return 2;
  constexpr double kIntBound = 0x1p127;
  if (y >= kIntBound) return -1;
  if (y < -kIntBound) return 1;
  const Int x = a.as_int();
  const double whole = std::trunc(y);
  const Int truncated = static_cast<Int>(whole);
  if (x != truncated) return x < truncated ? -1 : 1;
  return y > whole ? -1 : y < whole ? 1 : 0;
}

bool equal_items(const std::vector<Value>& a, const std::vector<Value>& b, StepBudget& budget,
                 int depth) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(a[i], b[i], budget, depth + 1)) return false;
  }
  return true;
}

bool equal_dicts(const Dict& a, const Dict& b, StepBudget& budget, int depth) {
  if (a.size() != b.size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.find(key);
    if (other == nullptr || !equal(value, *other, budget, depth + 1)) return false;
  }
  return true;
}

bool equal_ranges(const Range& a, const Range& b) {
  const Int size = a.size();
  if (size != b.size()) return false;
  if (size == 0) return true;
  return a.start == b.start && (size == 1 || a.step == b.step);
}

// Views of keys and items compare as sets.
bool equal_views(const DictView& a, const DictView& b, StepBudget& budget, int depth) {
  if (a.part != b.part || a.part == DictView::Part::kValues) return &a == &b;
  if (a.dict->size() != b.dict->size()) return false;
  for (const auto& [key, value] : a.dict->entries()) {
    const Value* other = b.dict->find(key);
    if (other == nullptr) return false;
    if (a.part == DictView::Part::kItems && !equal(value, *other, budget, depth + 1)) return false;
  }
  return true;
}

bool equal_objects(const Value& a, const Value& b, StepBudget& budget, int depth) {
  const Object* x = a.as_object().get();
  const Object* y = b.as_object().get();
  if (x == y) return true;
  if (x->kind != y->kind) return false;
  switch (x->kind) {
    case Kind::kList:
    case Kind::kTuple:
      return equal_items(a.items(), b.items(), budget, depth);
    case Kind::kDict:
      return equal_dicts(a.as_dict(), b.as_dict(), budget, depth);
    case Kind::kRange:
      return equal_ranges(static_cast<const Range&>(*x), static_cast<const Range&>(*y));
    case Kind::kDictView:
      return equal_views(static_cast<const DictView&>(*x), static_cast<const DictView&>(*y), budget,
                         depth);
    default:
      return false;
  }
}

bool less_items(const std::vector<Value>& a, const std::vector<Value>& b, bool strict,
                StepBudget& budget, int depth) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
    if (!equal(a[i], b[i], budget, depth + 1)) return less(a[i], b[i], strict, budget, depth + 1);
  }
  return strict ? a.size() < b.size() : a.size() <= b.size();
}

size_t mix(size_t seed, size_t value) {
  return (seed ^ value) * 0x9E3779B97F4A7C15u + (seed >> 29);
}

size_t hash_number(const Value& value) {
  if (value.is_integral()) {
    const Int number = value.as_int();
    return mix(static_cast<size_t>(number), static_cast<size_t>(number >> 64));
  }
  const double number = value.as_float();
  if (std::trunc(number) == number && std::abs(number) < 0x1p126) {
    return hash_number(Value::integer(static_cast<Int>(number)));
  }
  return std::hash<double>()(number);
}

size_t hash_object(const Value& value, StepBudget& budget, int depth) {
  const Object& object = *value.as_object();
  switch (object.kind) {
    case Kind::kTuple: {
      size_t result = 7;
      for (const Value& item : value.items()) result = mix(result, hash(item, budget, depth + 1));
      return result;
    }
    case Kind::kRange: {
      const auto& range = static_cast<const Range&>(object);
      return mix(hash_number(Value::integer(range.size())),
                 range.size() == 0 ? 0 : hash_number(Value::integer(range.start)));
    }
    case Kind::kList:
    case Kind::kDict:
    case Kind::kDictView:
      raise("unhashable type: '", type_name(value), "'");
    default:
      return std::hash<const Object*>()(&object);
  }
}

}  // namespace

void StepBudget::exhausted() { raise_exhausted("the template does too much work"); }

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.as_bool();
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_float() != 0;
    case Kind::kString:
      return !value.as_str().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return value.as_dict().size() != 0;
    case Kind::kRange:
      return value.get_if<Range>()->size() != 0;
    case Kind::kDictView:
      return value.get_if<DictView>()->dict->size() != 0;
    default:
      return true;
  }
}

bool equal(const Value& a, const Value& b, StepBudget& budget, int depth) {
  check_depth(depth);
  budget.charge();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.is_string() && b.is_string()) {
    if (a.as_str().size() != b.as_str().size()) return false;
    budget.charge(a.as_str().size() / 64);
    return a.view() == b.view();
  }
  const Kind kind = a.kind();
  if (kind == Kind::kNone || kind == Kind::kUndefined) return b.is(kind);
  if (kind < Kind::kList || b.kind() < Kind::kList) return false;
  return equal_objects(a, b, budget, depth);
}

bool less(const Value& a, const Value& b, bool strict, StepBudget& budget, int depth) {
  check_depth(depth);
  budget.charge();
  if (a.is_number() && b.is_number()) {
    const int order = compare_numbers(a, b);
    return order == -1 || (!strict && order == 0);
  }
  if (a.is_string() && b.is_string()) {
    // Bytes of UTF-8 sort like code points.
    budget.charge(std::min(a.as_str().size(), b.as_str().size()) / 64);
    return strict ? a.view() < b.view() : a.view() <= b.view();
  }
  if (a.is_undefined()) raise(a.undefined_message());
  if (b.is_undefined()) raise(b.undefined_message());
  if (a.kind() == b.kind() && (a.is(Kind::kList) || a.is(Kind::kTuple))) {
    return less_items(a.items(), b.items(), strict, budget, depth);
  }
  raise("'", strict ? "<" : "<=", "' not supported between instances of '", type_name(a), "' and '",
        type_name(b), "'");
}

size_t hash(const Value& value, StepBudget& budget, int depth) {
  check_depth(depth);
  budget.charge();
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kNone:
      return 1;
    case Kind::kUndefined:
      return 2;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return hash_number(value);
    case Kind::kString:
      return std::hash<std::string_view>()(value.view());
    default:
      return hash_object(value, budget, depth);
  }
}

}  // namespace m2::jinja
