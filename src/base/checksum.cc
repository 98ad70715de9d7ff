#include "base/checksum.h"

#include <array>
#include <bit>
#include <cstring>

namespace m2 {
namespace {

// Odd numbers of no structure (fractions of the golden ratio and of the square root of two).
constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15U;
constexpr std::uint64_t kOffset = 0x6A09E667F3BCC909U;

std::uint64_t step(std::uint64_t state, std::uint64_t word) {
  return std::rotl(state ^ word, 29) * kFactor;
}

}  // namespace

// Four chains, so that a multiplication need not wait for the one before it.
std::uint64_t checksum(std::span<const std::byte> bytes) {
  std::array<std::uint64_t, 4> chains = {kOffset, kOffset + 1, kOffset + 2, kOffset + 3};
  constexpr std::size_t kLine = sizeof(chains);
  std::size_t begin = 0;
  for (; begin + kLine <= bytes.size(); begin += kLine) {
    std::array<std::uint64_t, 4> words;
    std::memcpy(words.data(), bytes.data() + begin, kLine);
    for (std::size_t i = 0; i < 4; ++i) chains[i] = step(chains[i], words[i]);
  }
  std::array<std::uint64_t, 4> rest{};
  std::memcpy(rest.data(), bytes.data() + begin, bytes.size() - begin);
  std::uint64_t state = step(kOffset, bytes.size());
  for (std::size_t i = 0; i < 4; ++i) state = step(step(state, chains[i]), rest[i]);
  return state ^ (state >> 32U);
}

}  // namespace m2
