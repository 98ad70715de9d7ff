#include "cpu/kernels.h"

#include <hwy/targets.h>

#include <algorithm>
#if defined(__linux__) && HWY_ARCH_X86_64
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/error.h"
#include "cpu/isa/isa.h"

namespace m2::cpu {

namespace {

// Asks the system for the registers of the matrix unit, for all threads of the process.
bool has_amx() {
#if defined(__linux__) && HWY_ARCH_X86_64
  constexpr unsigned kLeaf = 7;
  constexpr unsigned kTiles = 1U << 24U;
  constexpr unsigned kInt8 = 1U << 25U;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid_count(kLeaf, 0, &a, &b, &c, &d) == 0) return false;
  if ((d & kTiles) == 0 || (d & kInt8) == 0) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool runs_here(const Kernels& kernels) {
  if ((hwy::SupportedTargets() & kernels.target) == 0) return false;
#if HWY_ARCH_X86
  // Highway does not ask for it, though every processor with the rest of the set has it.
  if (kernels.target == HWY_AVX3_DL && __builtin_cpu_supports("gfni") == 0) return false;
#endif
  return !kernels.amx || has_amx();
}

}  // namespace

std::vector<const Kernels*> supported_kernels() {
  std::vector<const Kernels*> supported;
  for (const Kernels* kernels :
       {amx_kernels(), avx3_dl_kernels(), avx3_kernels(), avx2_kernels(), sse4_kernels()}) {
    if (kernels != nullptr && runs_here(*kernels)) supported.push_back(kernels);
  }
  supported.push_back(baseline_kernels());
  return supported;
}

std::string target_name(const Kernels& kernels) {
  return kernels.amx ? "AMX" : hwy::TargetName(kernels.target);
}

const Kernels& choose_kernels(const std::optional<std::string>& name) {
  const auto supported = supported_kernels();
  if (!name) return *supported.front();
  std::string known;
  for (const Kernels* kernels : supported) {
    if (target_name(*kernels) == *name) return *kernels;
    known += (known.empty() ? "" : ", ") + target_name(*kernels);
  }
  fail(ErrorCode::kUnsupported, "M2_CPU_TARGET: \"", *name,
       "\" does not run here; these do: ", known);
}

std::int64_t matmul_scratch(std::int64_t cols) {
  const std::int64_t padded = (cols + kPanelCols - 1) / kPanelCols * kPanelCols;
  return std::max(padded * kMaxDirectTokens, kPanelCols * kTileTokens);
}

std::int64_t attend_scratch(std::int64_t num_rows, std::int64_t head_dim) {
  // Scores; then either queries, keys and room for as many, or values.
  const std::int64_t padded = (num_rows + kMostScoreKeys - 1) / kMostScoreKeys * kMostScoreKeys;
  const std::int64_t vectors = std::max(padded + 2 * kMostScoreKeys, kAttentionChunk);
  return num_rows * kAttentionChunk + vectors * head_dim;
}

}  // namespace m2::cpu
