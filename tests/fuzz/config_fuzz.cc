// Any text as config.json; what is accepted must give finite rotary tables, and what is written of
// it must read back as the same.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "m2/config.h"
#include "model/inspect.h"
#include "model/rope.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool strict : {false, true}) {
    try {
      const auto config = m2::MiniMaxM2Config::from_json(text, {.strict = strict});
      if (m2::estimate_bytes(config, m2::DType::kF32).total() <= 0) __builtin_trap();
      const m2::RopeTable table(config);
      for (const float frequency : table.inv_freq()) {
        if (!std::isfinite(frequency)) __builtin_trap();
      }
      const std::string written = config.to_json();
      const auto again = m2::MiniMaxM2Config::from_json(written, {.strict = strict});
      if (again.to_json() != written || again.rope != config.rope) __builtin_trap();
    } catch (const m2::Error& error) {
      if (error.code() == m2::ErrorCode::kInternal) throw;
    }
  }
  return 0;
}
