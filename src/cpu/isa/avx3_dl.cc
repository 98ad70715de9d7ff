// AVX-512 with VBMI and VNNI: Ice Lake, Zen 4 and later; and the same with the matrix unit of Xeons
// for products with strips: Sapphire Rapids and later.
#include "cpu/isa/isa.h"

#include <hwy/detect_targets.h>

#if HWY_ARCH_X86_64 && HWY_AVX3_DL < HWY_STATIC_TARGET
#undef HWY_TARGET
#define HWY_TARGET HWY_AVX3_DL
#include "cpu/isa/kernels-inl.h"
#include "cpu/strip_amx-inl.h"

namespace m2::cpu {
namespace {

constexpr Kernels with_amx(Kernels kernels) {
  kernels.amx = true;
  kernels.matmul = HWY_NAMESPACE::amx_matmul;
  kernels.pack_tokens = HWY_NAMESPACE::pack_amx_tokens;
  return kernels;
}

constexpr Kernels kAmxKernels = with_amx(HWY_NAMESPACE::kKernels);

}  // namespace

const Kernels* amx_kernels() { return &kAmxKernels; }
const Kernels* avx3_dl_kernels() { return &HWY_NAMESPACE::kKernels; }
}  // namespace m2::cpu
#else
namespace m2::cpu {
const Kernels* amx_kernels() { return nullptr; }
const Kernels* avx3_dl_kernels() { return nullptr; }
}  // namespace m2::cpu
#endif
