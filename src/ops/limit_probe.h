// What a device can do at most, measured beside the work that is held against it.
#pragma once

#include <optional>
#include <string>

namespace m2 {

/// A multiplication and an addition count as two operations.
struct MultiplyRate {
  double operations_per_second = 0.0;
  std::string source;  // "measured: float32 multiply-adds, AVX2", "data sheet: FP8, H200"
};

enum class MultiplyKind {
  kWide,    // float32 on the CPU, BF16 on a GPU
  kNarrow,  // 8 bits
};

/// Holds the memory that it reads for as long as it lives. Every call measures anew, since other
/// work may share the machine.
class LimitProbe {
 public:
  virtual ~LimitProbe() = default;

  /// Bytes a second of reading once through memory that no cache holds, with the loads of the
  /// kernels that read weights and on all threads.
  [[nodiscard]] virtual double read_rate() = 0;
  /// Of products of registers alone; absent where it is not known.
  [[nodiscard]] virtual std::optional<MultiplyRate> multiply_rate(MultiplyKind kind) = 0;
};

}  // namespace m2
