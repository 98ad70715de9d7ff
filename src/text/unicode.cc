#include "text/unicode.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "text/unicode_tables.h"

namespace m2::unicode {

const PropertyTable& PropertyTable::instance() {
  static const PropertyTable table;
  return table;
}

PropertyTable::PropertyTable() {
  size_t run = 0;
  Block block;
  for (size_t index = 0; index < kNumBlocks; ++index) {
    for (size_t i = 0; i < kBlockSize; ++i) {
      const auto code_point = static_cast<char32_t>(index * kBlockSize + i);
      while (run + 1 < kNumPropertyRuns && kPropertyRuns[run + 1].first <= code_point) ++run;
      block[i] = Properties(kPropertyRuns[run].value);
    }
    const auto known = std::ranges::find(blocks_, block);
    block_of_[index] = static_cast<uint16_t>(known - blocks_.begin());
    if (known == blocks_.end()) blocks_.push_back(block);
  }
}

uint8_t combining_class(char32_t code_point) {
  const PropertyRun* end = kCombiningClassRuns + kNumCombiningClassRuns;
  const PropertyRun* next =
      std::upper_bound(kCombiningClassRuns, end, code_point,
                       [](char32_t value, const PropertyRun& run) { return value < run.first; });
  return (next - 1)->value;  // the first run starts at 0
}

std::span<const char32_t> decomposition(char32_t code_point) {
  const Decomposition* end = kDecompositions + kNumDecompositions;
  const Decomposition* found = std::lower_bound(
      kDecompositions, end, code_point,
      [](const Decomposition& entry, char32_t value) { return entry.code_point < value; });
  if (found == end || found->code_point != code_point) return {};
  return {kDecomposed + found->offset, found->length};
}

char32_t composition(char32_t first, char32_t second) {
  const Composition* end = kCompositions + kNumCompositions;
  const Composition* found = std::lower_bound(
      kCompositions, end, std::pair(first, second), [](const Composition& entry, const auto& pair) {
        return std::tie(entry.first, entry.second) < std::tie(pair.first, pair.second);
      });
  const bool equal = found != end && found->first == first && found->second == second;
  return equal ? found->composed : 0;
}

}  // namespace m2::unicode
