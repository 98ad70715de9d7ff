// AVX2, FMA and F16C: Haswell, Zen and later.
#include "cpu/isa/isa.h"

#include <hwy/detect_targets.h>

#if HWY_ARCH_X86_64 && HWY_AVX2 < HWY_STATIC_TARGET
#undef HWY_TARGET
#define HWY_TARGET HWY_AVX2
#include "cpu/isa/kernels-inl.h"

namespace m2::cpu {
const Kernels* avx2_kernels() { return &HWY_NAMESPACE::kKernels; }
}  // namespace m2::cpu
#else
namespace m2::cpu {
const Kernels* avx2_kernels() { return nullptr; }
}  // namespace m2::cpu
#endif
