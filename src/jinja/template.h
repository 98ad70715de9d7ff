// A Jinja2 template engine for chat templates, with the environment that transformers gives
// them: trim_blocks, lstrip_blocks, break and continue, {% generation %}, raise_exception(),
// strftime_now(), a tojson without HTML escapes, no automatic escaping, no other templates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "jinja/str.h"
#include "jinja/value.h"

namespace m2::jinja {

/// A template comes from a download and must not hang or exhaust the process. Passing any limit
/// throws kResourceExhausted.
struct RenderLimits {
  size_t max_output_bytes = size_t{64} << 20;  // of the result and of every string on the way
  uint64_t max_steps = 10'000'000;  // statements, expressions, list items, 16 bytes of new text
  int max_call_depth = 200;         // macros and recursive loops inside each other
  size_t max_stack_bytes = size_t{1} << 20;  // of the calling thread's stack
};

struct RenderOptions {
  RenderLimits limits;
  /// What strftime_now() formats; the local time when empty.
  std::function<std::tm()> clock;
};

struct RenderResult {
  std::string text;
  /// Bytes of `text` that came from values marked untrusted: sorted, disjoint, not adjacent.
  std::vector<ByteRange> untrusted;
  /// What {% generation %} blocks rendered, in order, for assistant masks. As in transformers
  /// only blocks outside macros and captured blocks have exact positions.
  std::vector<ByteRange> generation;
};

/// A parsed template. Immutable: any number of threads may render it at once.
class Template {
 public:
  /// Throws kInvalidArgument "NAME:LINE:COL: ..." for syntax errors and kUnsupported for
  /// include, import, extends and other parts that need more than this one template.
  [[nodiscard]] static Template parse(std::string source, std::string name = "chat_template.jinja");

  /// Renders with the entries of the dict `context` as variables; the context is not changed,
  /// whatever the template does. Throws kInvalidArgument "NAME:LINE:COL: ..." when an operation
  /// fails, and with the bare message when the template calls raise_exception().
  [[nodiscard]] RenderResult render(const Value& context, const RenderOptions& options = {}) const;

  [[nodiscard]] const std::string& source() const;

 private:
  struct Impl;
  explicit Template(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace m2::jinja
