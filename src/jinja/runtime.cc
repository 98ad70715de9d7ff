#include "jinja/runtime.h"

#include <algorithm>
#include <cstdlib>

#include "jinja/fault.h"
#include "jinja/repr.h"
#include "jinja/text.h"

namespace m2::jinja {

Runtime::Runtime(const RenderOptions& options)
    : options_(options),
      budget_(options.limits.max_steps),
      stack_base_(static_cast<const char*>(__builtin_frame_address(0))) {}

Runtime::~Runtime() {
  for (const auto& object : mutated_) object->clear();
}

void Runtime::check_stack() const {
  const char* here = static_cast<const char*>(__builtin_frame_address(0));
  const size_t used = static_cast<size_t>(std::abs(stack_base_ - here));
  if (used > options_.limits.max_stack_bytes) raise_exhausted("the template recurses too deeply");
}

Value Runtime::text(Str text) {
  charge(text.size() / 16);
  return Value::string(std::move(text));
}

Value Runtime::text(StrBuilder builder) { return text(builder.take()); }

Value Runtime::list(std::vector<Value> items) {
  charge(items.size());
  return Value::list(std::move(items));
}

Value Runtime::call(const Value& callee, Arguments& arguments) {
  check_stack();
  if (callee.is_undefined()) raise(callee.undefined_message());
  auto* object = callee.get_if<DynamicObject>();
  if (object == nullptr || !object->callable()) {
    raise("'", type_name(callee), "' object is not callable");
  }
  return object->call(*this, arguments);
}

std::tm Runtime::now() const {
  if (options_.clock) return options_.clock();
  const std::time_t seconds = std::time(nullptr);
  std::tm local{};
  localtime_r(&seconds, &local);
  return local;
}

void Runtime::note_mutation(const Value& container) {
  Object& object = *container.as_object();
  if (object.mutated) return;
  object.mutated = true;
  mutated_.push_back(container.as_object());
}

Str Runtime::str(const Value& value) {
  if (value.is_string()) return value.as_str().as_markup(false);
  StrBuilder out = builder();
  append_str(out, value, *this);
  charge(out.size() / 16);
  return out.take();
}

Str Runtime::repr(const Value& value) {
  StrBuilder out = builder();
  append_repr(out, value, *this);
  charge(out.size() / 16);
  return out.take();
}

bool Runtime::contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kString: {
      if (!item.is_string()) {
        raise("'in <string>' requires string as left operand, not ", type_name(item));
      }
      const std::string_view text = container.view();
      charge_scan(text.size());
      return find_text(text, item.view(), 0) != std::string_view::npos;
    }
    case Kind::kDict:
      return container.as_dict().find(item) != nullptr;
    default:
      break;
  }
  if (const auto* view = container.get_if<DictView>();
      view != nullptr && view->part == DictView::Part::kKeys) {
    return view->dict->find(item) != nullptr;
  }
  if (const auto* range = container.get_if<Range>(); range != nullptr && item.is_integral()) {
    Int offset = 0;
    if (__builtin_sub_overflow(item.as_int(), range->start, &offset)) return false;
    return offset % range->step == 0 && offset / range->step >= 0 &&
           offset / range->step < range->size();
  }
  if (!Cursor::can_iterate(container)) {
    raise("argument of type '", type_name(container), "' is not iterable");
  }
  Cursor cursor(*this, container);
  while (const auto candidate = cursor.next()) {
    if (equal(*candidate, item)) return true;
  }
  return false;
}

std::optional<Int> Runtime::length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<Int>(value.as_str().length());
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<Int>(value.items().size());
    case Kind::kDict:
      return static_cast<Int>(value.as_dict().size());
    case Kind::kRange:
      return value.get_if<Range>()->size();
    case Kind::kDictView:
      return static_cast<Int>(value.get_if<DictView>()->dict->size());
    default:
      break;
  }
  auto* object = value.get_if<DynamicObject>();
  return object == nullptr ? std::nullopt : object->length(*this);
}

std::vector<Value> Runtime::to_vector(const Value& iterable) {
  std::vector<Value> items;
  Cursor cursor(*this, iterable);
  while (auto item = cursor.next()) items.push_back(*std::move(item));
  return items;
}

bool Cursor::can_iterate(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kDictView:
    case Kind::kIterator:
      return true;
    case Kind::kObject:
      return value.get_if<DynamicObject>()->iterable();
    default:
      return false;
  }
}

Cursor::Cursor(Runtime& runtime, Value iterable)
    : runtime_(runtime), iterable_(std::move(iterable)) {
  if (!can_iterate(iterable_)) raise("'", type_name(iterable_), "' object is not iterable");
  if (iterable_.is_dict()) expected_size_ = iterable_.as_dict().size();
  if (const auto* view = iterable_.get_if<DictView>()) expected_size_ = view->dict->size();
}

std::optional<Value> Cursor::next() {
  runtime_.charge();
  const auto check_unchanged = [this](const Dict& dict) {
    if (dict.size() != expected_size_) raise("dictionary changed size during iteration");
    return position_ < expected_size_;
  };
  switch (iterable_.kind()) {
    case Kind::kString: {
      const Str& text = iterable_.as_str();
      if (position_ >= text.size()) return std::nullopt;
      const size_t begin = position_++;
      while (position_ < text.size() && (text.view()[position_] & 0xC0) == 0x80) ++position_;
      return Value::string(text.substr(begin, position_).as_markup(false));
    }
    case Kind::kList:
    case Kind::kTuple: {
      const auto& items = iterable_.items();
      if (position_ >= items.size()) return std::nullopt;
      return items[position_++];
    }
    case Kind::kDict: {
      const Dict& dict = iterable_.as_dict();
      if (!check_unchanged(dict)) return std::nullopt;
      return dict.entries()[position_++].first;
    }
    case Kind::kDictView: {
      const auto& view = *iterable_.get_if<DictView>();
      if (!check_unchanged(*view.dict)) return std::nullopt;
      return view.at(position_++);
    }
    case Kind::kRange: {
      const auto& range = *iterable_.get_if<Range>();
      if (static_cast<Int>(position_) >= range.size()) return std::nullopt;
      return Value::integer(range.at(static_cast<Int>(position_++)));
    }
    case Kind::kIterator:
      return iterable_.get_if<Iterator>()->next(runtime_);
    case Kind::kObject:
      return iterable_.get_if<DynamicObject>()->next_item();
    default:
      return std::nullopt;  // undefined is empty
  }
}

BoundArguments::BoundArguments(std::string_view function, Arguments& arguments,
                               std::initializer_list<std::string_view> names, size_t num_required,
                               Keywords keywords)
    : function_(function), values_(names.size(), Value::missing()) {
  if (arguments.positional.size() > names.size()) {
    raise(function, "() takes at most ", names.size(), " arguments, got ",
          arguments.positional.size());
  }
  std::move(arguments.positional.begin(), arguments.positional.end(), values_.begin());
  for (auto& [name, value] : arguments.keyword) {
    const auto* match = std::find(names.begin(), names.end(), name.view());
    if (match == names.end() || keywords == Keywords::kForbidden) {
      raise(function, "() got an unexpected keyword argument '", name.view(), "'");
    }
    Value& target = values_[static_cast<size_t>(match - names.begin())];
    if (!target.is_missing())
      raise(function, "() got multiple values for argument '", name.view(), "'");
    target = std::move(value);
  }
  for (size_t i = 0; i < num_required; ++i) {
    if (!has(i)) raise(function, "() misses the argument '", names.begin()[i], "'");
  }
}

Int BoundArguments::integer(size_t i) const { return to_index(values_[i]); }

const Str& BoundArguments::text(size_t i) const {
  if (values_[i].is_undefined()) raise(values_[i].undefined_message());
  if (!values_[i].is_string()) {
    raise(function_, "() takes a string, not ", type_name(values_[i]));
  }
  return values_[i].as_str();
}

Int to_index(const Value& value) {
  if (value.is_undefined()) raise(value.undefined_message());
  if (!value.is_integral()) {
    raise("'", type_name(value), "' object cannot be interpreted as an integer");
  }
  return value.as_int();
}

size_t clamp_count(Int count) {
  constexpr Int kMost = Int{1} << 60;
  return static_cast<size_t>(std::clamp<Int>(count, 0, kMost));
}

}  // namespace m2::jinja
