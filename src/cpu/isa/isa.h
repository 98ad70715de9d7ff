// One table of kernels for each instruction set; null where the build or a better baseline makes
// the table superfluous.
#pragma once

#include "cpu/kernels.h"

namespace m2::cpu {

const Kernels* amx_kernels();
const Kernels* avx3_dl_kernels();
const Kernels* avx3_kernels();
const Kernels* avx2_kernels();
const Kernels* sse4_kernels();
/// What the compiler may use without asking: never null.
const Kernels* baseline_kernels();

}  // namespace m2::cpu
