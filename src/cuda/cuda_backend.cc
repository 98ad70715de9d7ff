#include "cuda/cuda_backend.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "cuda/context.h"
#include "cuda/devices.h"
#include "cuda/place_weight.h"
#include "cuda/step_graphs.h"
#include "ops/contract.h"

namespace m2 {
namespace {

// Makes a device the current one of the thread before anything of it is made.
int select(int device) {
  const auto devices = cuda::list_devices();
  const bool found = std::ranges::any_of(
      devices, [&](const cuda::Device& candidate) { return candidate.index == device; });
  M2_REQUIRE(ErrorCode::kUnsupported, found, "device \"cuda:", device, "\": this machine has ",
             devices.size(), " usable CUDA devices");
  cuda::require(cudaSetDevice(device), "select a device");
  return device;
}

}  // namespace

struct CudaBackend::Impl {
  explicit Impl(int index) : device(select(index)), weights(device) {
    cuda::require(cudaGetDeviceProperties(&properties, device), "ask for a device's properties");
    context.num_sms = properties.multiProcessorCount;
    context.overlaps_kernels = properties.major >= 9;
    context.has_bulk_copies = properties.major >= 9;
    context.has_wgmma = properties.major == 9 && properties.minor == 0;
    context.shared_bytes = static_cast<int>(properties.sharedMemPerBlockOptin);
  }

  // One copy or clear of whole tensors on the stream.
  void move(const TensorView& from, const TensorView& to, cudaMemcpyKind kind) {
    check_shape("copy", "to", to, from.dtype, from.shape, "from", from.shape);
    if (from.num_bytes() == 0) return;
    cuda::require(cudaMemcpyAsync(to.data, from.data, from.num_bytes(), kind, context.stream.get()),
                  "copy");
  }

  // Small ones through pinned memory, which costs less than the driver's own way.
  void download(const TensorView& from, const TensorView& host) {
    constexpr std::size_t kMostStaged = std::size_t{64} << 10U;
    const bool staged = host.num_bytes() > 0 && host.num_bytes() <= kMostStaged;
    if (staged && staging == nullptr) staging = cuda::allocate_pinned(kMostStaged);
    const TensorView to = {staged ? staging.get() : host.data, host.dtype, host.shape};
    move(from, to, cudaMemcpyDeviceToHost);
    cuda::require(cudaStreamSynchronize(context.stream.get()), "synchronize");
    if (staged) std::memcpy(host.data, staging.get(), host.num_bytes());
  }

  int device;
  cudaDeviceProp properties{};
  cuda::Context context;
  cuda::StepGraphs steps;
  cuda::WeightStore weights;
  cuda::PinnedMemory staging;  // of small downloads
};

CudaBackend::CudaBackend(int device) : impl_(std::make_unique<Impl>(device)) {}

CudaBackend::~CudaBackend() {
  static_cast<void>(cudaStreamSynchronize(impl_->context.stream.get()));
}

// Threads may have several backends, and a backend may change its thread. Weights that were placed
// are there before anything is done with them.
CudaBackend::Impl& CudaBackend::on_device() const {
  cuda::require(cudaSetDevice(impl_->device), "select a device");
  impl_->weights.finish();
  return *impl_;
}

std::string CudaBackend::description() const {
  return concat("cuda:", impl_->device, " (", impl_->properties.name, ")");
}

Tensor CudaBackend::allocate(DType dtype, const Shape& shape) {
  Impl& impl = on_device();
  TensorView view{nullptr, dtype, shape};
  cuda::DeviceMemory memory = cuda::allocate_device(view.num_bytes());
  cuda::require(cudaMemsetAsync(memory.get(), 0, view.num_bytes(), impl.context.stream.get()),
                "clear device memory");
  view.data = memory.release();
  return {view, cuda::DeviceFree()};
}

void CudaBackend::synchronize() {
  cuda::require(cudaStreamSynchronize(on_device().context.stream.get()), "synchronize");
}

bool CudaBackend::host_accessible() const { return false; }

void CudaBackend::upload(const TensorView& host, const TensorView& device) {
  Impl& impl = on_device();
  if (impl.steps.copy(host, device, cuda::StepCopies::Way::kUp, impl.context)) return;
  // Pageable memory is read before the call returns.
  impl.move(host, device, cudaMemcpyHostToDevice);
}

void CudaBackend::download(const TensorView& device, const TensorView& host) {
  Impl& impl = on_device();
  if (impl.steps.copy(host, device, cuda::StepCopies::Way::kDown, impl.context)) return;
  impl.download(device, host);
}

void CudaBackend::copy(const TensorView& from, const TensorView& to) {
  check_disjoint("copy", "to", to, "from", from);
  on_device().move(from, to, cudaMemcpyDeviceToDevice);
}

WeightView CudaBackend::place(const WeightView& host, MatrixUse use, Owners& owners) {
  if (!host.present()) return host;
  cuda::require(cudaSetDevice(impl_->device), "select a device");
  return cuda::place_weight(host, use, impl_->weights, owners);
}

TensorView CudaBackend::place(const TensorView& host, Owners& owners) {
  if (!host.present()) return host;
  cuda::require(cudaSetDevice(impl_->device), "select a device");
  TensorView placed = host;
  placed.data = cuda::reserve(impl_->weights, static_cast<std::int64_t>(host.num_bytes()), owners);
  impl_->weights.copy(host.data, placed.data, host.num_bytes());
  return placed;
}

void CudaBackend::run_step(std::span<const std::uint64_t> key, const std::function<void()>& work) {
  Impl& impl = on_device();
  impl.steps.run(key, work, impl.context);
}

void CudaBackend::embedding(const EmbeddingArgs& args) {
  cuda::embedding(args, on_device().context);
}

void CudaBackend::rms_norm(const RmsNormArgs& args) { cuda::rms_norm(args, on_device().context); }

void CudaBackend::linear(const LinearArgs& args) { cuda::linear(args, on_device().context); }

void CudaBackend::linears(std::span<const LinearArgs> products) {
  cuda::linears(products, on_device().context);
}

void CudaBackend::norm_linears(const RmsNormArgs& norm, std::span<const LinearArgs> products) {
  cuda::norm_linears(norm, products, on_device().context);
}

void CudaBackend::qk_norm_rope_append(const QkNormRopeArgs& rotate, const KvAppendArgs& append) {
  cuda::qk_norm_rope_append(rotate, append, on_device().context);
}

void CudaBackend::norm_route(const RmsNormArgs& norm, const MoeRouteArgs& route) {
  cuda::norm_route(norm, route, on_device().context);
}

void CudaBackend::qk_norm_rope(const QkNormRopeArgs& args) {
  cuda::qk_norm_rope(args, on_device().context);
}

void CudaBackend::kv_append(const KvAppendArgs& args) {
  cuda::kv_append(args, on_device().context);
}

void CudaBackend::attention(const AttentionArgs& args) {
  cuda::attention(args, on_device().context);
}

void CudaBackend::attention_block(const AttentionBlockArgs& args) {
  cuda::attention_block(args, on_device().context);
}

void CudaBackend::uniform_noise(const UniformNoiseArgs& args) {
  cuda::uniform_noise(args, on_device().context);
}

void CudaBackend::moe_route(const MoeRouteArgs& args) {
  cuda::moe_route(args, on_device().context);
}

void CudaBackend::moe_experts(const MoeExpertsArgs& args) {
  cuda::moe_experts(args, nullptr, on_device().context);
}

void CudaBackend::moe_block(const MoeBlockArgs& args) {
  cuda::moe_block(args, on_device().context);
}

void CudaBackend::top_scores(const TopScoresArgs& args) {
  cuda::top_scores(args, on_device().context);
}

void CudaBackend::random_fill(const RandomFillArgs& args) {
  cuda::random_fill(args, on_device().context);
}

}  // namespace m2
