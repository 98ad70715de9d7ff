// The instruction set that the compiler assumes: NEON on aarch64, one lane on plain x86-64.

// Kernels keep vectors in arrays, which types without a fixed size do not allow.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

// Newer compilers would get Highway's emulation of four lanes, for which no kernel is written.
#define HWY_BROKEN_EMU128 1

#include "cpu/isa/isa.h"
#include "cpu/isa/kernels-inl.h"

namespace m2::cpu {
const Kernels* baseline_kernels() { return &HWY_NAMESPACE::kKernels; }
}  // namespace m2::cpu
