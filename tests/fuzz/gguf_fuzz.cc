// Any bytes as a GGUF file: either refused with m2::Error or every view lies inside them.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "gguf/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const m2::GgufContent content = m2::parse_gguf(bytes, "input");
    for (const m2::GgufTensor& tensor : content.tensors) {
      if (tensor.bytes.empty()) continue;
      if (tensor.bytes.data() < bytes.data() ||
          tensor.bytes.data() + tensor.bytes.size() > bytes.data() + bytes.size()) {
        __builtin_trap();
      }
    }
    (void)content.metadata.texts("test.strings");
    (void)content.metadata.integers("test.int32s");
    (void)content.metadata.integer("test.same");
    (void)content.metadata.text("test.string");
    (void)content.metadata.number("test.float32");
  } catch (const m2::Error& error) {
    if (error.code() == m2::ErrorCode::kInternal) throw;
  }
  return 0;
}
