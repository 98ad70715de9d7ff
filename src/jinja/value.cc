#include "jinja/value.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "jinja/compare.h"
#include "jinja/fault.h"

namespace m2::jinja {
namespace {

constexpr size_t kSmallDict = 8;      // entries that are searched one by one
constexpr uint64_t kKeySteps = 1000;  // bound on the parts of a tuple used as key

int nesting(const std::vector<Value>& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth + 1;
}

size_t hash_key(const Value& key) {
  StepBudget budget(kKeySteps);
  return hash(key, budget);
}

}  // namespace

Object::Object(Kind object_kind, int object_depth) : kind(object_kind), depth(object_depth) {
  if (depth > kMaxValueDepth) raise_exhausted("values are nested deeper than ", kMaxValueDepth);
}

List::List(std::vector<Value> values)
    : Object(Kind::kList, nesting(values)), items(std::move(values)) {}

Tuple::Tuple(std::vector<Value> values, std::vector<std::string> names)
    : Object(Kind::kTuple, nesting(values)),
      items(std::move(values)),
      field_names(std::move(names)) {}

Value Value::missing() {
  Value value;
  value.data_ = Missing();
  return value;
}

Value Value::undefined(std::string message) {
  Value value;
  value.data_ = std::make_shared<const UndefinedInfo>(UndefinedInfo{std::move(message)});
  return value;
}

Value Value::boolean(bool flag) {
  Value value;
  value.data_ = flag;
  return value;
}

Value Value::integer(Int number) {
  Value value;
  value.data_ = number;
  return value;
}

Value Value::floating(double number) {
  Value value;
  value.data_ = number;
  return value;
}

Value Value::string(Str text) {
  Value value;
  value.data_ = std::move(text);
  return value;
}

Value Value::list(std::vector<Value> items) {
  return object(std::make_shared<List>(std::move(items)));
}

Value Value::tuple(std::vector<Value> items) {
  return object(std::make_shared<Tuple>(std::move(items)));
}

Value Value::dict() { return object(std::make_shared<Dict>()); }

Value Value::object(std::shared_ptr<Object> object) {
  Value value;
  value.data_ = std::move(object);
  return value;
}

Kind Value::kind() const {
  switch (data_.index()) {
    case 0:
      return Kind::kNone;
    case 1:
      return Kind::kMissing;
    case 2:
      return Kind::kUndefined;
    case 3:
      return Kind::kBool;
    case 4:
      return Kind::kInt;
    case 5:
      return Kind::kFloat;
    case 6:
      return Kind::kString;
    default:
      return std::get<std::shared_ptr<Object>>(data_)->kind;
  }
}

Int Value::as_int() const {
  if (const bool* flag = std::get_if<bool>(&data_)) return *flag ? 1 : 0;
  return std::get<Int>(data_);
}

double Value::as_float() const {
  if (const double* number = std::get_if<double>(&data_)) return *number;
  return static_cast<double>(as_int());
}

const std::vector<Value>& Value::items() const {
  const Object& object = *as_object();
  return object.kind == Kind::kList ? static_cast<const List&>(object).items
                                    : static_cast<const Tuple&>(object).items;
}

Dict& Value::as_dict() const {
  M2_CHECK(is_dict(), "value is not a dict");
  return static_cast<Dict&>(*as_object());
}

const std::string& Value::undefined_message() const { return std::get<Undefined>(data_)->message; }

int Value::depth() const {
  const auto* object = std::get_if<std::shared_ptr<Object>>(&data_);
  return object == nullptr ? 0 : (*object)->depth;
}

void Dict::clear() {
  entries_.clear();
  hashes_.clear();
  slots_.clear();
}

template <typename Matches>
size_t Dict::position(size_t hash, const Matches& matches) const {
  if (slots_.empty()) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (hashes_[i] == hash && matches(entries_[i].first)) return i;
    }
    return entries_.size();
  }
  const size_t mask = slots_.size() - 1;
  for (size_t slot = hash & mask; slots_[slot] != 0; slot = (slot + 1) & mask) {
    const size_t i = slots_[slot] - 1;
    if (hashes_[i] == hash && matches(entries_[i].first)) return i;
  }
  return entries_.size();
}

size_t Dict::position(const Value& key, size_t key_hash) const {
  return position(key_hash, [&](const Value& other) {
    StepBudget budget(kKeySteps);
    return equal(key, other, budget);
  });
}

const Value* Dict::find(const Value& key) const {
  const size_t i = position(key, hash_key(key));
  return i == entries_.size() ? nullptr : &entries_[i].second;
}

const Value* Dict::find(std::string_view key) const {
  const size_t i = position(std::hash<std::string_view>()(key), [&](const Value& other) {
    return other.is_string() && other.view() == key;
  });
  return i == entries_.size() ? nullptr : &entries_[i].second;
}

void Dict::set(Value key, Value value) {
  const size_t key_hash = hash_key(key);
  const size_t i = position(key, key_hash);
  if (i < entries_.size()) {
    depth = std::max(depth, value.depth() + 1);
    entries_[i].second = std::move(value);
  } else {
    append(std::move(key), std::move(value), key_hash);
  }
}

void Dict::set(std::string_view key, Value value) {
  set(Value::string(std::string(key)), std::move(value));
}

void Dict::append(Value key, Value value, size_t key_hash) {
  depth = std::max(depth, std::max(key.depth(), value.depth()) + 1);
  if (depth > kMaxValueDepth) raise_exhausted("values are nested deeper than ", kMaxValueDepth);
  entries_.emplace_back(std::move(key), std::move(value));
  hashes_.push_back(key_hash);
  if (entries_.size() <= kSmallDict) return;
  if (slots_.size() < 2 * entries_.size()) {
    rebuild_slots();
    return;
  }
  const size_t mask = slots_.size() - 1;
  size_t slot = key_hash & mask;
  while (slots_[slot] != 0) slot = (slot + 1) & mask;
  slots_[slot] = static_cast<uint32_t>(entries_.size());
}

bool Dict::erase(const Value& key) {
  const size_t i = position(key, hash_key(key));
  if (i == entries_.size()) return false;
  entries_.erase(entries_.begin() + static_cast<ptrdiff_t>(i));
  hashes_.erase(hashes_.begin() + static_cast<ptrdiff_t>(i));
  rebuild_slots();
  return true;
}

void Dict::rebuild_slots() {
  slots_.clear();
  if (entries_.size() <= kSmallDict) return;
  size_t capacity = 32;
  while (capacity < 4 * entries_.size()) capacity *= 2;
  slots_.assign(capacity, 0);
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t slot = hashes_[i] & (capacity - 1);
    while (slots_[slot] != 0) slot = (slot + 1) & (capacity - 1);
    slots_[slot] = static_cast<uint32_t>(i + 1);
  }
}

namespace {

Value json_string(const std::string& text, Trust trust) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, utf8::is_valid(text),
             "template variables: text is not valid UTF-8");
  return Value::string(text, trust);
}

Value convert(const nlohmann::ordered_json& json, Trust trust, int depth) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, depth < kMaxValueDepth,
             "template variables: nested deeper than ", kMaxValueDepth);
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case nlohmann::ordered_json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case nlohmann::ordered_json::value_t::number_unsigned:
      return Value::integer(json.get<uint64_t>());
    case nlohmann::ordered_json::value_t::number_float:
      return Value::floating(json.get<double>());
    case nlohmann::ordered_json::value_t::string:
      return json_string(json.get_ref<const std::string&>(), trust);
    case nlohmann::ordered_json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& item : json) items.push_back(convert(item, trust, depth + 1));
      return Value::list(std::move(items));
    }
    case nlohmann::ordered_json::value_t::object: {
      Value result = Value::dict();
      for (const auto& [key, item] : json.items()) {
        result.as_dict().set(json_string(key, trust), convert(item, trust, depth + 1));
      }
      return result;
    }
    default:
      return Value::none();
  }
}

}  // namespace

Value from_json(const nlohmann::ordered_json& json, Trust trust) { return convert(json, trust, 0); }

}  // namespace m2::jinja
