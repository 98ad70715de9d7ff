// Whether data can be read sixteen bytes at a time.
#pragma once

#include <cstdint>

namespace m2::cuda {

inline bool is_aligned(const void* data) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

}  // namespace m2::cuda
