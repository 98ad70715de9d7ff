// The generated Unicode data (unicode_tables.cc); unicode.h is the way to ask it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace m2::unicode {

// `value` holds from `first` up to the next run's `first`.
struct PropertyRun {
  char32_t first;
  uint8_t value;
};

// Full canonical decomposition: kDecomposed[offset, offset + length).
struct Decomposition {
  char32_t code_point;
  uint16_t offset;
  uint8_t length;
};

struct Composition {
  char32_t first;
  char32_t second;
  char32_t composed;
};

extern const PropertyRun kPropertyRuns[];
extern const size_t kNumPropertyRuns;
extern const PropertyRun kCombiningClassRuns[];
extern const size_t kNumCombiningClassRuns;
extern const char32_t kDecomposed[];
extern const Decomposition kDecompositions[];  // ascending code points
extern const size_t kNumDecompositions;
extern const Composition kCompositions[];  // ascending (first, second)
extern const size_t kNumCompositions;

}  // namespace m2::unicode
