#include "cpu/limit_probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/environment.h"
#include "base/error.h"
#include "cpu/kernels.h"
#include "cpu/lanes.h"

namespace m2 {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

class CpuLimitProbe final : public LimitProbe {
 public:
  CpuLimitProbe(int num_threads, std::span<const int> cpus)
      : kernels_(cpu::choose_kernels(environment::cpu_target())),
        lanes_(num_threads, cpus),
        memory_(DType::kF32, {kFloats}),
        sums_(DType::kF32, {kPieces}) {
    // Untouched pages of a new tensor are all the same page of zeros.
    lanes_.run(kPieces, [&](std::int64_t piece, cpu::Buffer&) {
      std::fill_n(memory_.as<float>() + piece * kPiece, kPiece, 1.0F);
    });
  }

  double read_rate() override {
    const auto begin = Clock::now();
    lanes_.run(kPieces, [&](std::int64_t piece, cpu::Buffer&) {
      const float* from = memory_.as<float>() + piece * kPiece;
      sums_.as<float>()[piece] = kernels_.read_memory(from, kPiece);
    });
    return static_cast<double>(kFloats * std::int64_t{sizeof(float)}) / seconds_since(begin);
  }

  std::optional<MultiplyRate> multiply_rate(MultiplyKind kind) override {
    const bool integers = kind == MultiplyKind::kNarrow;
    std::atomic<std::int64_t> operations{0};
    const auto begin = Clock::now();
    lanes_.run(std::int64_t{8} * lanes_.num_threads(), [&](std::int64_t piece, cpu::Buffer&) {
      float* sink = sums_.as<float>() + piece % kPieces;
      std::int32_t sum = 0;
      operations += integers ? kernels_.peak_int8(kRounds, &sum) : kernels_.peak_f32(kRounds, sink);
      if (sum != 0) *sink = static_cast<float>(sum);
    });
    return MultiplyRate{static_cast<double>(operations) / seconds_since(begin),
                        concat("measured: ", integers ? "8-bit" : "float32", " multiply-adds, ",
                               cpu::target_name(kernels_))};
  }

 private:
  // 1 GiB: more than the third-level cache of any processor that exists.
  static constexpr std::int64_t kFloats = std::int64_t{1} << 28U;
  static constexpr std::int64_t kPiece = std::int64_t{1} << 16U;
  static constexpr std::int64_t kPieces = kFloats / kPiece;
  static constexpr std::int64_t kRounds = 500000;  // a millisecond or two

  const cpu::Kernels& kernels_;
  cpu::Lanes lanes_;
  Tensor memory_;
  Tensor sums_;
};

}  // namespace

std::unique_ptr<LimitProbe> make_cpu_limit_probe(int num_threads, std::span<const int> cpus) {
  return std::make_unique<CpuLimitProbe>(num_threads, cpus);
}

}  // namespace m2
