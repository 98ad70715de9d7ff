// Any JSON as messages and tools is rendered or refused. The first byte chooses options; a NUL
// byte ends the messages and begins the tools.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/utf8.h"
#include "m2/chat.h"
#include "m2/error.h"
#include "support/paths.h"

namespace {

void check(const m2::RenderedPrompt& prompt) {
  size_t last = 0;
  for (const m2::TextRange& range : prompt.untrusted) {
    if (range.begin < last || range.begin >= range.end || range.end > prompt.text.size()) {
      throw std::logic_error("untrusted ranges out of order");
    }
    last = range.end;
  }
  if (!m2::utf8::is_valid(prompt.text)) throw std::logic_error("the prompt is not UTF-8");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const m2::ChatTemplate chat_template =
      m2::ChatTemplate::from_directory(m2::test::shipped_model());
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t split = std::min(text.find('\0'), text.size());
  m2::ChatRequest request;
  request.messages_json = text.substr(0, split);
  request.tools_json = split < text.size() ? text.substr(split + 1) : "";
  request.continue_final_message = (data[0] & 1U) != 0;
  request.lenient_arguments = (data[0] & 2U) != 0;
  request.raw = (data[0] & 4U) != 0;
  request.tool_content = (data[0] & 8U) != 0 ? m2::ToolContent::kJoin : m2::ToolContent::kKeep;
  request.late_system = static_cast<m2::LateSystem>(data[0] / 16 % 3);
  try {
    check(chat_template.render(request));
  } catch (const m2::Error& error) {
    if (error.code() == m2::ErrorCode::kInternal) throw;
  }
  return 0;
}
