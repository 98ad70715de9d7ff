#include "cuda/limit_probe.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <string_view>

#include "base/error.h"
#include "cuda/devices.h"
#include "cuda/runtime.h"

namespace m2 {
namespace {

using cuda::check_launch;
using cuda::require;

constexpr std::size_t kBytes = std::size_t{2} << 30U;  // forty times the L2 cache of a Hopper
constexpr int kThreads = 1024;
constexpr int kUnroll = 8;

// Every multiprocessor full, eight independent vectors in flight for each thread.
__global__ void __launch_bounds__(kThreads)
    read_kernel(const uint4* data, std::int64_t count, unsigned* sink) {
  unsigned sum = 0;
  const std::int64_t step = std::int64_t{gridDim.x} * blockDim.x;
  std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (; i + (kUnroll - 1) * step < count; i += kUnroll * step) {
    uint4 values[kUnroll];
#pragma unroll
    for (int j = 0; j < kUnroll; ++j) values[j] = __ldcs(data + i + j * step);
#pragma unroll
    for (int j = 0; j < kUnroll; ++j) sum += values[j].x ^ values[j].y ^ values[j].z ^ values[j].w;
  }
  if (sum == 0x12345678U) *sink = sum;  // keeps the reads
}

// Dense rates of the data sheets, without the factor two of sparsity.
struct DataSheet {
  std::string_view name;  // a part of the device's name
  double fp8;
  double bf16;
};
constexpr std::array<DataSheet, 3> kDataSheets = {{
    {"H200", 1979e12, 989e12},
    {"H100 80GB HBM3", 1979e12, 989e12},
    {"GH200", 1979e12, 989e12},
}};

class CudaLimitProbe final : public LimitProbe {
 public:
  explicit CudaLimitProbe(int device) : device_(device) {
    const auto devices = cuda::list_devices();
    const auto found = std::ranges::find(devices, device, &cuda::Device::index);
    M2_REQUIRE(ErrorCode::kUnsupported, found != devices.end(), "device \"cuda:", device,
               "\": this machine has ", devices.size(), " usable CUDA devices");
    name_ = found->name;
    require(cudaSetDevice(device_), "select a device");
    require(cudaDeviceGetAttribute(&num_sms_, cudaDevAttrMultiProcessorCount, device_),
            "ask for a device's properties");
    memory_ = cuda::allocate_device(kBytes + sizeof(unsigned));
    require(cudaMemset(memory_.get(), 1, kBytes), "fill device memory");
  }

  double read_rate() override {
    require(cudaSetDevice(device_), "select a device");
    require(cudaDeviceSynchronize(), "synchronize");
    auto* sink = reinterpret_cast<unsigned*>(static_cast<char*>(memory_.get()) + kBytes);
    constexpr int kPasses = 16;  // some 8 ms, beside which a launch is nothing
    const auto begin = std::chrono::steady_clock::now();
    for (int pass = 0; pass < kPasses; ++pass) {
      read_kernel<<<2 * num_sms_, kThreads, 0, stream_.get()>>>(
          static_cast<const uint4*>(memory_.get()),
          static_cast<std::int64_t>(kBytes / sizeof(uint4)), sink);
      check_launch("read_memory");
    }
    require(cudaStreamSynchronize(stream_.get()), "read_memory");
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    return kPasses * static_cast<double>(kBytes) / seconds.count();
  }

  // What the matrix units reach depends on the shape and the power limit; the data sheet does not.
  std::optional<MultiplyRate> multiply_rate(MultiplyKind kind) override {
    const bool narrow = kind == MultiplyKind::kNarrow;
    for (const DataSheet& sheet : kDataSheets) {
      if (name_.find(sheet.name) == std::string::npos) continue;
      return MultiplyRate{narrow ? sheet.fp8 : sheet.bf16,
                          concat("data sheet: ", narrow ? "FP8" : "BF16", ", ", sheet.name)};
    }
    return std::nullopt;
  }

 private:
  int device_;
  std::string name_;
  int num_sms_ = 0;
  cuda::DeviceMemory memory_;
  cuda::Stream stream_;
};

}  // namespace

std::unique_ptr<LimitProbe> make_cuda_limit_probe(int device) {
  return std::make_unique<CudaLimitProbe>(device);
}

}  // namespace m2
