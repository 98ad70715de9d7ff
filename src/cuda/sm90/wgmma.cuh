// Warpgroup matrix products: 64 weight rows times N tokens.
//
// D [64, N] float32 in registers: value 4 j + i of a lane belongs to row 16 warp + lane / 4 (+ 8
// for i >= 2) and token 8 j + 2 (lane % 4) + i % 2. A and B lie in shared memory, K-major with the
// 128-byte swizzle; A may come from registers instead.
#pragma once

#include "cuda/sm90/ptx.cuh"

namespace m2::cuda::sm90 {

/// The operands' type.
enum class Operand { kE4M3, kBF16, kF16 };

#if M2_SM90_CODE

/// Describes rows of 128 bytes, swizzled, in groups of eight rows (1024 bytes, aligned to that),
/// one group every kStride bytes.
template <int kStride = 1024>
__device__ std::uint64_t matrix_descriptor(const void* tile) {
  constexpr std::uint64_t kGroupStride = std::uint64_t{kStride >> 4} << 32U;
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62U;
  return kSwizzle128 | kGroupStride | (std::uint64_t{1} << 16U) |
         ((shared_address(tile) & 0x3FFFFU) >> 4U);
}
/// What a descriptor grows by when its columns move on by 32 bytes.
constexpr std::uint64_t kDescriptorStep = 32 >> 4;

__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Until at most `kPending` committed groups are still on their way.
template <int kPending>
__device__ inline void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
/// The compiler may not move uses of these registers across this point.
template <int kCount>
__device__ inline void pin(float (&registers)[kCount]) {
#pragma unroll
  for (float& value : registers) asm volatile("" : "+f"(value)::"memory");
}

// Lists of registers for the instructions below.
#define M2_NAMES_8 "%0, %1, %2, %3"
#define M2_NAMES_16 M2_NAMES_8 ", %4, %5, %6, %7"
#define M2_NAMES_24 M2_NAMES_16 ", %8, %9, %10, %11"
#define M2_NAMES_32 M2_NAMES_24 ", %12, %13, %14, %15"
#define M2_NAMES_48 M2_NAMES_32 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define M2_NAMES_64 \
  M2_NAMES_32 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define M2_NAMES_72 M2_NAMES_64 ", %32, %33, %34, %35"
#define M2_NAMES_80 M2_NAMES_72 ", %36, %37, %38, %39"
#define M2_NAMES_88 M2_NAMES_80 ", %40, %41, %42, %43"
#define M2_NAMES_96 \
  M2_NAMES_64 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define M2_NAMES_104 M2_NAMES_96 ", %48, %49, %50, %51"
#define M2_NAMES_112 M2_NAMES_96 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define M2_NAMES_120 M2_NAMES_112 ", %56, %57, %58, %59"
#define M2_NAMES_128 M2_NAMES_112 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define M2_NAMES_136 M2_NAMES_128 ", %64, %65, %66, %67"
#define M2_NAMES_144 M2_NAMES_136 ", %68, %69, %70, %71"
#define M2_NAMES_152 M2_NAMES_144 ", %72, %73, %74, %75"
#define M2_NAMES_160 M2_NAMES_144 ", %72, %73, %74, %75, %76, %77, %78, %79"
#define M2_D4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define M2_D16(d, i) M2_D4(d, i), M2_D4(d, i + 4), M2_D4(d, i + 8), M2_D4(d, i + 12)
#define M2_OUT_8(d) M2_D4(d, 0)
#define M2_OUT_16(d) M2_D4(d, 0), M2_D4(d, 4)
#define M2_OUT_24(d) M2_D4(d, 0), M2_D4(d, 4), M2_D4(d, 8)
#define M2_OUT_32(d) M2_D16(d, 0)
#define M2_OUT_48(d) M2_D16(d, 0), M2_D4(d, 16), M2_D4(d, 20)
#define M2_OUT_64(d) M2_D16(d, 0), M2_D16(d, 16)
#define M2_OUT_72(d) M2_D16(d, 0), M2_D16(d, 16), M2_D4(d, 32)
#define M2_OUT_80(d) M2_D16(d, 0), M2_D16(d, 16), M2_D4(d, 32), M2_D4(d, 36)
#define M2_OUT_88(d) M2_D16(d, 0), M2_D16(d, 16), M2_D4(d, 32), M2_D4(d, 36), M2_D4(d, 40)
#define M2_OUT_96(d) M2_D16(d, 0), M2_D16(d, 16), M2_D16(d, 32)
#define M2_OUT_104(d) M2_D16(d, 0), M2_D16(d, 16), M2_D16(d, 32), M2_D4(d, 48)
#define M2_OUT_112(d) M2_D16(d, 0), M2_D16(d, 16), M2_D16(d, 32), M2_D4(d, 48), M2_D4(d, 52)
#define M2_OUT_120(d) \
  M2_D16(d, 0), M2_D16(d, 16), M2_D16(d, 32), M2_D4(d, 48), M2_D4(d, 52), M2_D4(d, 56)
#define M2_OUT_128(d) M2_D16(d, 0), M2_D16(d, 16), M2_D16(d, 32), M2_D16(d, 48)
#define M2_OUT_136(d) M2_D16(d, 0), M2_D16(d, 16), M2_D16(d, 32), M2_D16(d, 48), M2_D4(d, 64)
#define M2_OUT_144(d) \
  M2_D16(d, 0), M2_D16(d, 16), M2_D16(d, 32), M2_D16(d, 48), M2_D4(d, 64), M2_D4(d, 68)
#define M2_OUT_152(d)                                                                    \
  M2_D16(d, 0), M2_D16(d, 16), M2_D16(d, 32), M2_D16(d, 48), M2_D4(d, 64), M2_D4(d, 68), \
      M2_D4(d, 72)
#define M2_OUT_160(d) M2_D16(d, 0), M2_D16(d, 16), M2_D16(d, 32), M2_D16(d, 48), M2_D16(d, 64)

// Two operands in shared memory: %a and %b are descriptors, %p is zero to ignore what D holds.
#define M2_WGMMA_SS(N, SHAPE, TYPES, TAIL, A, B, P)                                       \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " P                                      \
               ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N SHAPE TYPES " {" M2_NAMES_##N \
               "}, " A ", " B ", p, 1, 1" TAIL ";\n}"                                     \
               : M2_OUT_##N(d)                                                            \
               : "l"(a), "l"(b), "r"(accumulate))
#define M2_WGMMA_RS(N, SHAPE, TYPES, TAIL, A, B, P)                                       \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " P                                      \
               ", 0;\nwgmma.mma_async.sync.aligned.m64n" #N SHAPE TYPES " {" M2_NAMES_##N \
               "}, {" A "}, " B ", p, 1, 1" TAIL ";\n}"                                   \
               : M2_OUT_##N(d)                                                            \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate))

/// d = a b^T, or d += a b^T with `accumulate`; over 32 bytes of columns.
template <int kTokens>
struct Products;

// Few tokens, both operands in shared memory.
#define M2_PRODUCTS_OF_FEW(N, A, B, P)                                                   \
  template <>                                                                            \
  struct Products<N> {                                                                   \
    template <Operand kOperand>                                                          \
    __device__ static void multiply(float (&d)[N / 2], std::uint64_t a, std::uint64_t b, \
                                    int accumulate) {                                    \
      if constexpr (kOperand == Operand::kE4M3) {                                        \
        M2_WGMMA_SS(N, "k32", ".f32.e4m3.e4m3", "", A, B, P);                            \
      } else if constexpr (kOperand == Operand::kBF16) {                                 \
        M2_WGMMA_SS(N, "k16", ".f32.bf16.bf16", ", 0, 0", A, B, P);                      \
      } else {                                                                           \
        M2_WGMMA_SS(N, "k16", ".f32.f16.f16", ", 0, 0", A, B, P);                        \
      }                                                                                  \
    }                                                                                    \
  };
M2_PRODUCTS_OF_FEW(8, "%4", "%5", "%6")
M2_PRODUCTS_OF_FEW(16, "%8", "%9", "%10")
M2_PRODUCTS_OF_FEW(24, "%12", "%13", "%14")
M2_PRODUCTS_OF_FEW(48, "%24", "%25", "%26")
#undef M2_PRODUCTS_OF_FEW

template <>
struct Products<32> {
  template <Operand kOperand>
  __device__ static void multiply(float (&d)[16], std::uint64_t a, std::uint64_t b,
                                  int accumulate) {
    if constexpr (kOperand == Operand::kE4M3) {
      M2_WGMMA_SS(32, "k32", ".f32.e4m3.e4m3", "", "%16", "%17", "%18");
    } else if constexpr (kOperand == Operand::kBF16) {
      M2_WGMMA_SS(32, "k16", ".f32.bf16.bf16", ", 0, 0", "%16", "%17", "%18");
    } else {
      M2_WGMMA_SS(32, "k16", ".f32.f16.f16", ", 0, 0", "%16", "%17", "%18");
    }
  }
  __device__ static void multiply(float (&d)[16], const std::uint32_t (&a)[4], std::uint64_t b,
                                  int accumulate) {
    M2_WGMMA_RS(32, "k16", ".f32.f16.f16", ", 0", "%16, %17, %18, %19", "%20", "%21");
  }
};
template <>
struct Products<64> {
  template <Operand kOperand>
  __device__ static void multiply(float (&d)[32], std::uint64_t a, std::uint64_t b,
                                  int accumulate) {
    if constexpr (kOperand == Operand::kE4M3) {
      M2_WGMMA_SS(64, "k32", ".f32.e4m3.e4m3", "", "%32", "%33", "%34");
    } else if constexpr (kOperand == Operand::kBF16) {
      M2_WGMMA_SS(64, "k16", ".f32.bf16.bf16", ", 0, 0", "%32", "%33", "%34");
    } else {
      M2_WGMMA_SS(64, "k16", ".f32.f16.f16", ", 0, 0", "%32", "%33", "%34");
    }
  }
  __device__ static void multiply(float (&d)[32], const std::uint32_t (&a)[4], std::uint64_t b,
                                  int accumulate) {
    M2_WGMMA_RS(64, "k16", ".f32.f16.f16", ", 0", "%32, %33, %34, %35", "%36", "%37");
  }
  __device__ static void multiply_bf16(float (&d)[32], const std::uint32_t (&a)[4], std::uint64_t b,
                                       int accumulate) {
    M2_WGMMA_RS(64, "k16", ".f32.bf16.bf16", ", 0", "%32, %33, %34, %35", "%36", "%37");
  }
};
template <>
struct Products<96> {
  template <Operand kOperand>
  __device__ static void multiply(float (&d)[48], std::uint64_t a, std::uint64_t b,
                                  int accumulate) {
    if constexpr (kOperand == Operand::kE4M3) {
      M2_WGMMA_SS(96, "k32", ".f32.e4m3.e4m3", "", "%48", "%49", "%50");
    } else if constexpr (kOperand == Operand::kBF16) {
      M2_WGMMA_SS(96, "k16", ".f32.bf16.bf16", ", 0, 0", "%48", "%49", "%50");
    } else {
      M2_WGMMA_SS(96, "k16", ".f32.f16.f16", ", 0, 0", "%48", "%49", "%50");
    }
  }
};
template <>
struct Products<112> {
  template <Operand kOperand>
  __device__ static void multiply(float (&d)[56], std::uint64_t a, std::uint64_t b,
                                  int accumulate) {
    if constexpr (kOperand == Operand::kE4M3) {
      M2_WGMMA_SS(112, "k32", ".f32.e4m3.e4m3", "", "%56", "%57", "%58");
    } else {
      static_assert(kOperand == Operand::kBF16);
      M2_WGMMA_SS(112, "k16", ".f32.bf16.bf16", ", 0, 0", "%56", "%57", "%58");
    }
  }
};
template <>
struct Products<128> {
  template <Operand kOperand>
  __device__ static void multiply(float (&d)[64], std::uint64_t a, std::uint64_t b,
                                  int accumulate) {
    if constexpr (kOperand == Operand::kE4M3) {
      M2_WGMMA_SS(128, "k32", ".f32.e4m3.e4m3", "", "%64", "%65", "%66");
    } else {
      static_assert(kOperand == Operand::kBF16);
      M2_WGMMA_SS(128, "k16", ".f32.bf16.bf16", ", 0, 0", "%64", "%65", "%66");
    }
  }
  __device__ static void multiply_bf16(float (&d)[64], const std::uint32_t (&a)[4], std::uint64_t b,
                                       int accumulate) {
    M2_WGMMA_RS(128, "k16", ".f32.bf16.bf16", ", 0", "%64, %65, %66, %67", "%68", "%69");
  }
};
template <>
struct Products<136> {
  template <Operand kOperand>
  __device__ static void multiply(float (&d)[68], std::uint64_t a, std::uint64_t b,
                                  int accumulate) {
    if constexpr (kOperand == Operand::kE4M3) {
      M2_WGMMA_SS(136, "k32", ".f32.e4m3.e4m3", "", "%68", "%69", "%70");
    } else {
      static_assert(kOperand == Operand::kBF16);
      M2_WGMMA_SS(136, "k16", ".f32.bf16.bf16", ", 0, 0", "%68", "%69", "%70");
    }
  }
};
template <>
struct Products<144> {
  template <Operand kOperand>
  __device__ static void multiply(float (&d)[72], std::uint64_t a, std::uint64_t b,
                                  int accumulate) {
    if constexpr (kOperand == Operand::kE4M3) {
      M2_WGMMA_SS(144, "k32", ".f32.e4m3.e4m3", "", "%72", "%73", "%74");
    } else {
      static_assert(kOperand == Operand::kBF16);
      M2_WGMMA_SS(144, "k16", ".f32.bf16.bf16", ", 0, 0", "%72", "%73", "%74");
    }
  }
};
template <>
struct Products<160> {
  template <Operand kOperand>
  __device__ static void multiply(float (&d)[80], std::uint64_t a, std::uint64_t b,
                                  int accumulate) {
    if constexpr (kOperand == Operand::kE4M3) {
      M2_WGMMA_SS(160, "k32", ".f32.e4m3.e4m3", "", "%80", "%81", "%82");
    } else {
      static_assert(kOperand == Operand::kBF16);
      M2_WGMMA_SS(160, "k16", ".f32.bf16.bf16", ", 0, 0", "%80", "%81", "%82");
    }
  }
};

// Halves of tiles that F8 alone has.
#define M2_PRODUCTS_OF_F8(N, A, B, P)                                                    \
  template <>                                                                            \
  struct Products<N> {                                                                   \
    template <Operand kOperand>                                                          \
    __device__ static void multiply(float (&d)[N / 2], std::uint64_t a, std::uint64_t b, \
                                    int accumulate) {                                    \
      static_assert(kOperand == Operand::kE4M3);                                         \
      M2_WGMMA_SS(N, "k32", ".f32.e4m3.e4m3", "", A, B, P);                              \
    }                                                                                    \
  };
M2_PRODUCTS_OF_F8(72, "%36", "%37", "%38")
M2_PRODUCTS_OF_F8(80, "%40", "%41", "%42")
M2_PRODUCTS_OF_F8(88, "%44", "%45", "%46")
M2_PRODUCTS_OF_F8(104, "%52", "%53", "%54")
M2_PRODUCTS_OF_F8(120, "%60", "%61", "%62")
M2_PRODUCTS_OF_F8(152, "%76", "%77", "%78")
#undef M2_PRODUCTS_OF_F8

/// The same of E4M3 with A in registers: a lane has columns 4 (lane % 4) to + 3 of rows lane / 4
/// and lane / 4 + 8, then the columns 16 further on.
template <int kTokens>
struct ProductsOfRegisters;
#define M2_PRODUCTS_OF_REGISTERS(N, A, B, P)                                        \
  template <>                                                                       \
  struct ProductsOfRegisters<N> {                                                   \
    __device__ static void multiply(float (&d)[N / 2], const std::uint32_t (&a)[4], \
                                    std::uint64_t b, int accumulate) {              \
      M2_WGMMA_RS(N, "k32", ".f32.e4m3.e4m3", "", A, B, P);                         \
    }                                                                               \
  };
M2_PRODUCTS_OF_REGISTERS(16, "%8, %9, %10, %11", "%12", "%13")
M2_PRODUCTS_OF_REGISTERS(32, "%16, %17, %18, %19", "%20", "%21")
M2_PRODUCTS_OF_REGISTERS(48, "%24, %25, %26, %27", "%28", "%29")
M2_PRODUCTS_OF_REGISTERS(64, "%32, %33, %34, %35", "%36", "%37")
M2_PRODUCTS_OF_REGISTERS(72, "%36, %37, %38, %39", "%40", "%41")
M2_PRODUCTS_OF_REGISTERS(80, "%40, %41, %42, %43", "%44", "%45")
M2_PRODUCTS_OF_REGISTERS(88, "%44, %45, %46, %47", "%48", "%49")
M2_PRODUCTS_OF_REGISTERS(96, "%48, %49, %50, %51", "%52", "%53")
M2_PRODUCTS_OF_REGISTERS(104, "%52, %53, %54, %55", "%56", "%57")
M2_PRODUCTS_OF_REGISTERS(112, "%56, %57, %58, %59", "%60", "%61")
M2_PRODUCTS_OF_REGISTERS(120, "%60, %61, %62, %63", "%64", "%65")
M2_PRODUCTS_OF_REGISTERS(128, "%64, %65, %66, %67", "%68", "%69")
M2_PRODUCTS_OF_REGISTERS(136, "%68, %69, %70, %71", "%72", "%73")
M2_PRODUCTS_OF_REGISTERS(144, "%72, %73, %74, %75", "%76", "%77")
M2_PRODUCTS_OF_REGISTERS(152, "%76, %77, %78, %79", "%80", "%81")
M2_PRODUCTS_OF_REGISTERS(160, "%80, %81, %82, %83", "%84", "%85")
#undef M2_PRODUCTS_OF_REGISTERS

/// d += a b with b [16, 128] as it lies in memory, rows of 64 numbers: see values_descriptor().
__device__ inline void multiply_values(float (&d)[64], const std::uint32_t (&a)[4], std::uint64_t b,
                                       int accumulate) {
  M2_WGMMA_RS(128, "k16", ".f32.bf16.bf16", ", 1", "%64, %65, %66, %67", "%68", "%69");
}

#undef M2_WGMMA_SS
#undef M2_WGMMA_RS

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
