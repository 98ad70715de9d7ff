// SSE4.2: any x86-64 of the last fifteen years.
#include "cpu/isa/isa.h"

#include <hwy/detect_targets.h>

#if HWY_ARCH_X86_64 && HWY_SSE4 < HWY_STATIC_TARGET
#undef HWY_TARGET
#define HWY_TARGET HWY_SSE4
#include "cpu/isa/kernels-inl.h"

namespace m2::cpu {
const Kernels* sse4_kernels() { return &HWY_NAMESPACE::kKernels; }
}  // namespace m2::cpu
#else
namespace m2::cpu {
const Kernels* sse4_kernels() { return nullptr; }
}  // namespace m2::cpu
#endif
