// A fast checksum against accidents: cut, zeroed or damaged files. No protection from intent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace m2 {

/// 64 bits over all bytes and their number.
std::uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace m2
