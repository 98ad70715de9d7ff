// Bounds on how deeply templates nest, near those at which Python refuses the code that Jinja2
// makes of them; they keep the recursion of parser and interpreter small.
#pragma once

#include "jinja/parser.h"

namespace m2::jinja {

inline constexpr int kMaxExpressionDepth = 200;    // of the tree
inline constexpr int kMaxExpressionNesting = 200;  // of brackets, signs and conditionals
inline constexpr int kMaxStatementNesting = 90;

class Parser::Nesting {
 public:
  Nesting(const Parser& parser, int& level, int most) : level_(level) {
    if (++level_ > most) {
      --level_;
      parser.fail("template is nested too deeply");
    }
  }
  ~Nesting() { --level_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& level_;
};

}  // namespace m2::jinja
