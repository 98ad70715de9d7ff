// Any bytes as a safetensors file: either refused with m2::Error or every view lies inside them.
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    for (const auto& entry : m2::parse_safetensors(bytes, "input").entries) {
      const auto view =
          std::span(static_cast<const std::byte*>(entry.view.data), entry.view.num_bytes());
      if (view.data() < bytes.data() || view.data() + view.size() > bytes.data() + bytes.size()) {
        __builtin_trap();
      }
    }
  } catch (const m2::Error& error) {
    if (error.code() == m2::ErrorCode::kInternal) throw;
  }
  return 0;
}
