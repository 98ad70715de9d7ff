// What memory the machine and the process have.
#pragma once

#include <cstdint>

namespace m2 {

/// Memory that can be used without swapping, in bytes; 0 where the system does not tell.
std::int64_t available_memory_bytes();

/// The largest resident size that this process ever had, in bytes.
std::int64_t peak_resident_bytes();

}  // namespace m2
