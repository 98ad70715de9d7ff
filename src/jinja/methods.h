// Shared by the files that hold the methods of values.
#pragma once

#include <span>
#include <string_view>

#include "jinja/builtins.h"

namespace m2::jinja {

using MethodTable = std::span<const NamedFunction<MethodFunction>>;

[[nodiscard]] MethodTable string_methods();

/// dict(source, **entries) into an existing dict.
void fill_dict(Runtime& runtime, Dict& dict, std::string_view function, Arguments& arguments);

}  // namespace m2::jinja
