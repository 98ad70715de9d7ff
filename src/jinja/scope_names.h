// First passes of the scope analysis: which names a part of a template reads and sets.
#pragma once

#include <set>
#include <string>

#include "jinja/ast.h"
#include "jinja/symbols.h"

namespace m2::jinja {

/// Names of one frame. They stop at the nodes that open a frame, but not at what those evaluate
/// outside of it.
void collect(const Expr& node, Symbols& symbols);
void collect(const Body& body, Symbols& symbols);
void collect(const MacroBody& macro, Symbols& symbols);
/// The targets of a loop are set by the loop, like parameters.
void collect_parameters(const Expr& target, Symbols& symbols);

/// Those of `names` that a body uses without having set them, nested scopes included.
[[nodiscard]] std::set<std::string> undeclared_names(std::set<std::string> names, const Body& body);

[[nodiscard]] bool stores_loop(const Stmt& node);
[[nodiscard]] bool has_scoped_block(const Stmt& node);

}  // namespace m2::jinja
