// Fills the table of one instruction set; the including file has set HWY_TARGET.
#pragma once

#include "cpu/attention-inl.h"
#include "cpu/ggml_matmul-inl.h"
#include "cpu/linear-inl.h"
#include "cpu/moe_experts-inl.h"
#include "cpu/peak_multiply-inl.h"
#include "cpu/qk_norm_rope-inl.h"
#include "cpu/quantize-inl.h"
#include "cpu/read_memory-inl.h"
#include "cpu/rms_norm-inl.h"

namespace m2::cpu::HWY_NAMESPACE {

constexpr Kernels kKernels = {
    .target = HWY_TARGET,
    .matmul = matmul,
    .quantize = quantize,
    .pack_tokens = pack_tokens,
    .attend = attend,
    .rms_norm = rms_norm,
    .rotate = rotate,
    .silu_mul = silu_mul,
    .add_scaled = add_scaled,
    .read_memory = read_memory,
    .peak_f32 = peak_f32,
    .peak_int8 = peak_int8,
};

}  // namespace m2::cpu::HWY_NAMESPACE
