// Counter-based random numbers: a number depends on its key and counter alone, so that draws may be
// made in any order and in parallel.
#pragma once

#include <array>
#include <cstdint>

namespace m2 {

/// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): ten rounds
/// over a 128-bit counter under a 64-bit key.
constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key) {
  constexpr std::uint64_t kMultiplier0 = 0xD2511F53U;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E8D57U;
  constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;  // golden ratio
  constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;  // sqrt(3) - 1
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter[0];
    const std::uint64_t product1 = kMultiplier1 * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32U) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32U) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

/// A seed as a key.
constexpr std::array<std::uint32_t, 2> philox_key(std::uint64_t seed) {
  return {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32U)};
}

/// A seed of its own for every `stream` of `seed`.
constexpr std::uint64_t derive_seed(std::uint64_t seed, std::uint64_t stream) {
  const auto words = philox4x32(
      {static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32U), 0, 1},
      philox_key(seed));
  return std::uint64_t{words[1]} << 32U | words[0];
}

/// A number in [0, 1) with 24 random bits.
constexpr float unit_float(std::uint32_t word) { return static_cast<float>(word >> 8U) * 0x1p-24F; }

}  // namespace m2
