// Functions and classes that every template can call.
#include <algorithm>
#include <ctime>

#include "base/utf8.h"
#include "jinja/builtins.h"
#include "jinja/fault.h"
#include "jinja/methods.h"
#include "jinja/runtime.h"

namespace m2::jinja {
namespace {

constexpr Int kMaxRange = 100000;             // as Jinja2's sandbox has it
constexpr Int kMaxRangeBound = Int{1} << 60;  // keeps the arithmetic of ranges inside 128 bits

Value make_range(Runtime&, Arguments& arguments) {
  const BoundArguments bound("range", arguments, {"start", "stop", "step"}, 1,
                             BoundArguments::Keywords::kForbidden);
  const Int start = bound.has(1) ? bound.integer(0) : 0;
  const Int stop = bound.has(1) ? bound.integer(1) : bound.integer(0);
  const Int step = bound.integer_or(2, 1);
  if (step == 0) raise("range() arg 3 must not be zero");
  for (const Int number : {start, stop, step}) {
    if (number > kMaxRangeBound || number < -kMaxRangeBound) raise("range too big");
  }
  auto range = std::make_shared<Range>(start, stop, step);
  if (range->size() > kMaxRange) raise("range too big: it has more than 100000 items");
  return Value::object(std::move(range));
}

Value make_dict(Runtime& runtime, Arguments& arguments) {
  Value result = Value::dict();
  fill_dict(runtime, result.as_dict(), "dict", arguments);
  return result;
}

Value make_namespace(Runtime& runtime, Arguments& arguments) {
  auto space = std::make_shared<Namespace>();
  fill_dict(runtime, space->attributes, "namespace", arguments);
  space->depth = space->attributes.depth;
  return Value::object(std::move(space));
}

class Cycler final : public DynamicObject {
 public:
  explicit Cycler(Value items) : DynamicObject(items.depth() + 1), items_(std::move(items)) {}
  [[nodiscard]] std::string type_name() const override { return "Cycler"; }
  [[nodiscard]] std::string repr(Runtime&) const override { return "<Cycler object>"; }

  [[nodiscard]] Value attribute(Runtime&, std::string_view name) override {
    if (name == "items") return items_;
    if (name == "pos") return Value::integer(static_cast<Int>(position_));
    if (name == "current") return items_.items()[position_];
    if (name == "next") return method("next", &next);
    if (name == "reset") return method("reset", &reset);
    return Value::missing();
  }

 private:
  Value method(std::string_view name, MethodFunction function) {
    return Value::object(
        std::make_shared<BoundMethod>(Value::object(shared_from_this()), name, function));
  }
  static Value next(Runtime&, const Value& self, Arguments&) {
    auto& cycler = *self.get_if<Cycler>();
    Value current = cycler.items_.items()[cycler.position_];
    cycler.position_ = (cycler.position_ + 1) % cycler.items_.items().size();
    return current;
  }
  static Value reset(Runtime&, const Value& self, Arguments&) {
    self.get_if<Cycler>()->position_ = 0;
    return Value::none();
  }

  Value items_;  // a tuple
  size_t position_ = 0;
};

Value make_cycler(Runtime&, Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.keyword.empty()) {
    raise("at least one item has to be provided");
  }
  return Value::object(std::make_shared<Cycler>(Value::tuple(std::move(arguments.positional))));
}

class Joiner final : public DynamicObject {
 public:
  explicit Joiner(Value separator)
      : DynamicObject(separator.depth() + 1), separator_(std::move(separator)) {}
  [[nodiscard]] std::string type_name() const override { return "Joiner"; }
  [[nodiscard]] std::string repr(Runtime&) const override { return "<Joiner object>"; }
  [[nodiscard]] bool callable() const override { return true; }
  [[nodiscard]] Value call(Runtime&, Arguments& arguments) override {
    const BoundArguments bound("joiner", arguments, {}, 0);
    const bool first = !used_;
    used_ = true;
    return first ? Value::string("") : separator_;
  }
  [[nodiscard]] Value attribute(Runtime&, std::string_view name) override {
    if (name == "sep") return separator_;
    if (name == "used") return Value::boolean(used_);
    return Value::missing();
  }

 private:
  Value separator_;
  bool used_ = false;
};

Value make_joiner(Runtime&, Arguments& arguments) {
  const BoundArguments bound("joiner", arguments, {"sep"}, 0);
  return Value::object(std::make_shared<Joiner>(bound.value_or(0, Value::string(", "))));
}

Value raise_exception(Runtime& runtime, Arguments& arguments) {
  const BoundArguments bound("raise_exception", arguments, {"message"}, 1);
  Fault fault(ErrorCode::kInvalidArgument, std::string(runtime.str(bound[0]).view()));
  fault.bare = true;
  throw fault;
}

Value strftime_now(Runtime& runtime, Arguments& arguments) {
  const BoundArguments bound("strftime_now", arguments, {"format"}, 1);
  const Str& format = bound.text(0);
  constexpr size_t kMaxFormatBytes = 1024;
  if (format.size() > kMaxFormatBytes) raise("the format of strftime_now is too long");
  const std::tm now = runtime.now();
  // A trailing mark tells an empty result from one that does not fit.
  std::string text(16 * kMaxFormatBytes, '\0');
  const std::string marked = std::string(format.view()) + "|";
  text.resize(std::strftime(text.data(), text.size(), marked.c_str(), &now));
  if (!text.empty()) text.pop_back();
  return runtime.text(format.derive(utf8::replace_invalid(text)));
}

Value lipsum(Runtime&, Arguments&) { raise_unsupported("lipsum() makes random text"); }

constexpr NamedFunction<NativeFunction> kGlobals[] = {
    {"cycler", make_cycler},       {"dict", make_dict},
    {"joiner", make_joiner},       {"lipsum", lipsum},
    {"namespace", make_namespace}, {"raise_exception", raise_exception},
    {"range", make_range},         {"strftime_now", strftime_now},
};

}  // namespace

void fill_dict(Runtime& runtime, Dict& dict, std::string_view function, Arguments& arguments) {
  if (arguments.positional.size() > 1) raise(function, " expected at most 1 argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is_dict()) {
      runtime.charge(source.as_dict().size());
      for (const auto& [key, value] : source.as_dict().entries()) dict.set(key, value);
    } else {
      for (const Value& pair : runtime.to_vector(source)) {
        const std::vector<Value> items = runtime.to_vector(pair);
        if (items.size() != 2) raise("dictionary update sequence needs pairs");
        dict.set(items[0], items[1]);
      }
    }
  }
  for (auto& [name, value] : arguments.keyword) {
    dict.set(Value::string(name), std::move(value));
  }
}

Value find_global(std::string_view name) {
  for (const auto& entry : kGlobals) {
    if (entry.name == name) {
      return Value::object(std::make_shared<NativeCallable>(std::string(name), entry.function));
    }
  }
  return Value::missing();
}

}  // namespace m2::jinja
