// Keyword arguments of Python read into the fields of an argument struct.
#pragma once

#include "arrays.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace m2::python {

/// Takes keywords one by one; those that are None count as not given. Arrays stay alive as long as
/// this object. Every take() throws TypeError that names the keyword for a value of a wrong type.
class Keywords {
 public:
  explicit Keywords(const nb::kwargs& kwargs) {
    for (const auto& [key, value] : kwargs) values_[key] = value;
  }

  template <typename T>
  void take(const char* name, T& out) {
    const nb::object value = pop(name);
    if (!value.is_valid()) return;
    if (!nb::try_cast(value, out)) fail_type(name, value);
  }
  template <typename T>
  void take(const char* name, std::optional<T>& out) {
    T value{};
    const bool given = values_.contains(name) && !nb::object(values_[name]).is_none();
    take(name, value);
    if (given) out = std::move(value);
  }
  void take(const char* name, TensorView& out) {
    const nb::object value = pop(name);
    if (!value.is_valid()) return;
    Array array;
    if (!nb::try_cast(value, array)) fail_type(name, value);
    out = view_of(array, name);
    arrays_.push_back(std::move(array));
  }

  /// The value, or an invalid object when it is absent or None.
  nb::object pop(const char* name) {
    if (!values_.contains(name)) return {};
    nb::object value = values_[name];
    nb::del(values_[name]);
    return value.is_none() ? nb::object() : value;
  }

  /// The same for what C++ code calls later, on threads without the GIL, where a reference cannot
  /// be counted: the object lives as long as the keywords, the handle can be copied anywhere.
  nb::handle pop_callback(const char* name) {
    const nb::object callback = pop(name);
    if (callback.is_valid()) kept_.append(callback);
    return callback;
  }

  /// Throws TypeError when a keyword is left that nobody took.
  void finish(const char* function) const {
    for (const auto& [key, value] : values_) {
      const std::string message = std::string(function) +
                                  "() got an unexpected keyword argument '" +
                                  nb::cast<std::string>(key) + "'";
      throw nb::type_error(message.c_str());
    }
  }

 private:
  [[noreturn]] static void fail_type(const char* name, const nb::object& value) {
    const std::string message = std::string(name) + ": a value of type " +
                                nb::type_name(value.type()).c_str() + " is not accepted";
    throw nb::type_error(message.c_str());
  }

  nb::dict values_;
  nb::list kept_;
  std::vector<Array> arrays_;
};

}  // namespace m2::python
