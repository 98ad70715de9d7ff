// AVX-512 with VBMI and VNNI: Ice Lake, Zen 4 and later.
#include "cpu/isa/isa.h"

#include <hwy/detect_targets.h>

#if HWY_ARCH_X86_64 && HWY_AVX3_DL < HWY_STATIC_TARGET
#undef HWY_TARGET
#define HWY_TARGET HWY_AVX3_DL
#include "cpu/isa/kernels-inl.h"

namespace m2::cpu {
const Kernels* avx3_dl_kernels() { return &HWY_NAMESPACE::kKernels; }
}  // namespace m2::cpu
#else
namespace m2::cpu {
const Kernels* avx3_dl_kernels() { return nullptr; }
}  // namespace m2::cpu
#endif
