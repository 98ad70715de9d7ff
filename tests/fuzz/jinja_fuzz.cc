// Any bytes as a template, with a fixed context and small limits.
#include <cstddef>
#include <cstdint>
#include <string>

#include "jinja/template.h"
#include "m2/error.h"

namespace {

using m2::jinja::Trust;
using m2::jinja::Value;

Value make_context() {
  Value call = Value::dict();
  call.as_dict().set("name", Value::string("f", Trust::kUntrusted));
  call.as_dict().set("arguments", Value::dict());
  Value message = Value::dict();
  message.as_dict().set("role", Value::string("user", Trust::kUntrusted));
  message.as_dict().set("content", Value::string(" a<b>é\n", Trust::kUntrusted));
  message.as_dict().set("tool_calls", Value::list({call}));
  Value context = Value::dict();
  context.as_dict().set("messages", Value::list({message, message}));
  context.as_dict().set("tools", Value::list({call}));
  context.as_dict().set("s", Value::string("Hello, Wörld"));
  context.as_dict().set("l", Value::list({Value::integer(3), Value::floating(1.5), Value::none()}));
  context.as_dict().set("d", call);
  context.as_dict().set("add_generation_prompt", Value::boolean(true));
  return context;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Value kContext = make_context();
  constexpr m2::jinja::RenderLimits kLimits{.max_output_bytes = 1 << 16, .max_steps = 20000};
  try {
    (void)m2::jinja::Template::parse(std::string(reinterpret_cast<const char*>(data), size))
        .render(kContext, {.limits = kLimits});
  } catch (const m2::Error& error) {
    if (error.code() == m2::ErrorCode::kInternal) throw;
  }
  return 0;
}
