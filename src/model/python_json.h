// JSON as Python's json module writes it, so that files equal those of the reference byte for byte.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace m2 {

/// json.dumps(value, indent=2, sort_keys=True) + "\n": ASCII only, floats in their shortest form
/// with Python's choice of exponents. The keys of `id2label`, integers in the reference, are sorted
/// as numbers; numbers that JSON does not have become {"__float__": "Infinity"}. Not for values
/// nested without bound: recursive.
std::string python_json_text(const nlohmann::ordered_json& value);

/// repr(value) of a finite float.
std::string python_float(double value);

}  // namespace m2
