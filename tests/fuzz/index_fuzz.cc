// Any text as model.safetensors.index.json.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/error.h"
#include "checkpoint/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto& name : m2::parse_safetensors_index(text, "input").files) {
      const auto path = std::filesystem::path("/model" / std::filesystem::path(name));
      if (!path.lexically_normal().string().starts_with("/model/")) __builtin_trap();
    }
  } catch (const m2::Error& error) {
    if (error.code() == m2::ErrorCode::kInternal) throw;
  }
  return 0;
}
