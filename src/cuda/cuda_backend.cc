#include "cuda/cuda_backend.h"

#include <algorithm>

#include "base/error.h"
#include "cuda/context.h"
#include "cuda/devices.h"
#include "cuda/int4_layout.h"
#include "cuda/int4_repack.h"
#include "cuda/int8_widen.h"
#include "cuda/step_graphs.h"
#include "cuda/weight_store.h"
#include "ops/contract.h"
#include "quant/strip_format.h"

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
  explicit Impl(int index) : device(select(index)) {
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

  void* place(const void* host, std::size_t num_bytes, Owners& owners) {
    return own(weights.place(host, num_bytes, context.stream), owners);
  }

  // The strips cross to the device as they are and are put into order there.
  WeightView place_int4(const WeightView& host, Owners& owners) {
    M2_REQUIRE(ErrorCode::kUnsupported, host.rows % 16 == 0 && host.cols % cuda::kUnitColumns == 0,
               "cuda: a matrix in ", block_format_name(host.block_format),
               ": expected multiples of 16 rows and 128 columns, got [", host.rows, ", ", host.cols,
               "]");
    WeightView placed = host;
    void* units = own(weights.reserve(static_cast<std::size_t>(host.num_bytes())), owners);
    cuda::repack_int4(host, copy_strips(host), units, context);
    placed.data = units;
    return placed;
  }

  // Likewise; a matrix of BF16 comes of it.
  WeightView place_int8(const WeightView& host, Owners& owners) {
    WeightView placed = {.dtype = DType::kBF16, .rows = host.rows, .cols = host.cols};
    void* values = own(weights.reserve(static_cast<std::size_t>(placed.num_bytes())), owners);
    // By pieces: what is copied stays allocated, and a head has 650 MB.
    constexpr std::int64_t kPieceBytes = std::int64_t{16} << 20U;
    const std::int64_t strip_bytes = strip_layout(host.block_format, host.cols).strip_bytes();
    const std::int64_t piece_rows =
        kStripRows * std::max<std::int64_t>(1, kPieceBytes / strip_bytes);
    for (std::int64_t row = 0; row < host.rows; row += piece_rows) {
      WeightView piece = host;
      piece.data = static_cast<const std::byte*>(host.data) + row / kStripRows * strip_bytes;
      piece.rows = std::min(piece_rows, host.rows - row);
      auto* to = static_cast<std::byte*>(values) +
                 row * host.cols * static_cast<std::int64_t>(dtype_size(DType::kBF16));
      cuda::widen_int8(piece, copy_strips(piece), to, context);
    }
    placed.data = values;
    return placed;
  }

  const void* copy_strips(const WeightView& host) {
    const auto num_bytes = static_cast<std::size_t>(host.num_bytes());
    void* on_device = strips.get<char>(num_bytes);
    weights.copy(host.data, on_device, num_bytes, context.stream);
    return on_device;
  }

  static void* own(const cuda::WeightStore::Placed& placed, Owners& owners) {
    if (owners.empty() || owners.back() != placed.slab) owners.push_back(placed.slab);
    return placed.data;
  }

  int device;
  cudaDeviceProp properties{};
  cuda::Context context;
  cuda::StepGraphs steps;
  cuda::WeightStore weights;
  cuda::Workspace strips;  // of a matrix on its way
};

CudaBackend::CudaBackend(int device) : impl_(std::make_unique<Impl>(device)) {}

CudaBackend::~CudaBackend() {
  static_cast<void>(cudaStreamSynchronize(impl_->context.stream.get()));
}

// Threads may have several backends, and a backend may change its thread.
CudaBackend::Impl& CudaBackend::on_device() const {
  cuda::require(cudaSetDevice(impl_->device), "select a device");
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
  // Pageable memory is read before the call returns.
  on_device().move(host, device, cudaMemcpyHostToDevice);
}

void CudaBackend::download(const TensorView& device, const TensorView& host) {
  on_device().move(device, host, cudaMemcpyDeviceToHost);
  synchronize();
}

void CudaBackend::copy(const TensorView& from, const TensorView& to) {
  check_disjoint("copy", "to", to, "from", from);
  on_device().move(from, to, cudaMemcpyDeviceToDevice);
}

WeightView CudaBackend::place(const WeightView& host, Owners& owners) {
  if (!host.present()) return host;
  Impl& impl = on_device();
  if (cuda::is_int4(host)) return impl.place_int4(host, owners);
  if (cuda::is_int8(host)) return impl.place_int8(host, owners);
  M2_REQUIRE(ErrorCode::kUnsupported, host.block_format == BlockFormat::kNone, "cuda: weights in ",
             block_format_name(host.block_format), " cannot be multiplied on a device");
  WeightView placed = host;
  const std::int64_t num_elements = host.rows * host.cols;
  const auto num_bytes = static_cast<std::size_t>(num_elements) * dtype_size(host.dtype);
  placed.data = impl.place(host.data, num_bytes, owners);
  if (host.scale == nullptr) return placed;
  const auto scale_bytes = static_cast<std::size_t>(host.num_bytes()) - num_bytes;
  placed.scale = static_cast<const float*>(impl.place(host.scale, scale_bytes, owners));
  return placed;
}

TensorView CudaBackend::place(const TensorView& host, Owners& owners) {
  if (!host.present()) return host;
  TensorView placed = host;
  placed.data = on_device().place(host.data, host.num_bytes(), owners);
  return placed;
}

void CudaBackend::run_step(std::span<const std::uint64_t> key, const std::function<void()>& work) {
  Impl& impl = on_device();
  impl.steps.run(key, work, impl.context.stream);
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

void CudaBackend::uniform_noise(const UniformNoiseArgs& args) {
  cuda::uniform_noise(args, on_device().context);
}

void CudaBackend::moe_route(const MoeRouteArgs& args) {
  cuda::moe_route(args, on_device().context);
}

void CudaBackend::moe_experts(const MoeExpertsArgs& args) {
  cuda::moe_experts(args, on_device().context);
}

void CudaBackend::top_scores(const TopScoresArgs& args) {
  cuda::top_scores(args, on_device().context);
}

void CudaBackend::random_fill(const RandomFillArgs& args) {
  cuda::random_fill(args, on_device().context);
}

}  // namespace m2
