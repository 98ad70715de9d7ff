// Which variable a name means. Jinja2 decides this when it compiles a template, by rules that
// templates depend on: a set inside a loop stays inside, a macro sees later values of the variables
// around it, a branch that may set a variable leaves the outer value otherwise.
#pragma once

#include "jinja/ast.h"

namespace m2::jinja {

/// Fills in slots, frames and functions of the whole tree, and looks up filters and tests. Throws
/// Fault for what Jinja2 refuses when it compiles.
void analyze_scopes(Ast& ast);

}  // namespace m2::jinja
