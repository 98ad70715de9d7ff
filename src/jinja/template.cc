#include "jinja/template.h"

#include <algorithm>

#include "base/utf8.h"
#include "jinja/ast.h"
#include "jinja/fault.h"
#include "jinja/interpreter.h"
#include "jinja/lexer.h"
#include "jinja/parser.h"
#include "jinja/scope.h"

namespace m2::jinja {
namespace {

constexpr size_t kMaxSourceBytes = size_t{16} << 20;

// The error with its place in front, counted from 1, columns in code points.
Error with_place(const Fault& fault, const std::string& name, std::string_view source) {
  if (fault.bare || !fault.offset) return {fault.code(), fault.what()};
  const std::string_view before = source.substr(0, *fault.offset);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
  const size_t column = 1 + utf8::count(before.substr(line_begin));
  return {fault.code(), concat(name, ":", line, ":", column, ": ", fault.what())};
}

}  // namespace

struct Template::Impl {
  std::string name;
  Ast ast;
};

Template Template::parse(std::string source, std::string name) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, source.size() <= kMaxSourceBytes, name,
             ": the template has more than ", kMaxSourceBytes, " bytes");
  M2_REQUIRE(ErrorCode::kInvalidArgument, utf8::is_valid(source), name,
             ": the template is not valid UTF-8");
  auto impl = std::make_shared<Impl>();
  impl->name = std::move(name);
  impl->ast.source = normalize_newlines(source);
  try {
    impl->ast.body = Parser(tokenize(impl->ast.source)).parse_template();
    analyze_scopes(impl->ast);
  } catch (const Fault& fault) {
    throw with_place(fault, impl->name, impl->ast.source);
  }
  return Template(std::move(impl));
}

RenderResult Template::render(const Value& context, const RenderOptions& options) const {
  try {
    return Interpreter(impl_->ast, context, options).run();
  } catch (const Fault& fault) {
    throw with_place(fault, impl_->name, impl_->ast.source);
  }
}

const std::string& Template::source() const { return impl_->ast.source; }

}  // namespace m2::jinja
