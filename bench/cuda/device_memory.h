// Random contents for device memory, and the ceiling that every figure is held against.
#pragma once

#include <cstddef>
#include <cstdint>

#include "m2/dtype.h"

namespace m2::bench {

/// Fills with numbers of about `scale`: F8_E4M3 without NaN, BF16, or F32.
void fill_random(void* device, std::int64_t count, DType dtype, float scale, std::uint64_t seed);

/// Bytes a second of reading device memory once, the best of several runs.
double measure_read_rate(std::size_t num_bytes);

}  // namespace m2::bench
