#include "cpu/cpu_backend.h"

#include "base/environment.h"
#include "base/error.h"
#include "base/numa.h"
#include "cpu/context.h"

namespace m2 {

namespace {

// What the calling thread allocates and maps from now on is shared out between the nodes of the
// machine's memory; for descriptions, what came of it.
std::string spread_memory() {
  const std::vector<NumaNode> nodes = numa_nodes();
  if (nodes.size() < 2) return "";
  return concat(", ", nodes.size(), " memory nodes",
                interleave_memory(nodes) ? "" : ", which this process may not choose between");
}

}  // namespace

struct CpuBackend::Impl {
  cpu::Context context;
  std::string nodes = spread_memory();  // after the threads, which keep their own nodes' memory
};

CpuBackend::CpuBackend(int num_threads, const std::optional<std::string>& target,
                       std::span<const int> cpus)
    : impl_(new Impl{
          {cpu::choose_kernels(target ? target : environment::cpu_target()), num_threads, cpus}}) {}

CpuBackend::~CpuBackend() = default;

std::vector<std::string> CpuBackend::supported_targets() {
  std::vector<std::string> names;
  for (const cpu::Kernels* kernels : cpu::supported_kernels()) {
    names.push_back(cpu::target_name(*kernels));
  }
  return names;
}

std::string CpuBackend::description() const {
  const int threads = impl_->context.lanes.num_threads();
  return concat("cpu (", cpu::target_name(impl_->context.kernels), ", ", threads,
                threads == 1 ? " thread" : " threads", impl_->nodes, ")");
}

void CpuBackend::embedding(const EmbeddingArgs& args) { cpu::embedding(args, impl_->context); }

void CpuBackend::rms_norm(const RmsNormArgs& args) { cpu::rms_norm(args, impl_->context); }

void CpuBackend::linear(const LinearArgs& args) { linears({&args, 1}); }

void CpuBackend::linears(std::span<const LinearArgs> products) {
  cpu::linears(products, impl_->context);
}

void CpuBackend::qk_norm_rope(const QkNormRopeArgs& args) {
  cpu::qk_norm_rope(args, impl_->context);
}

void CpuBackend::kv_append(const KvAppendArgs& args) { cpu::kv_append(args, impl_->context); }

void CpuBackend::attention(const AttentionArgs& args) { cpu::attention(args, impl_->context); }

void CpuBackend::uniform_noise(const UniformNoiseArgs& args) {
  cpu::uniform_noise(args, impl_->context);
}

void CpuBackend::moe_route(const MoeRouteArgs& args) { cpu::moe_route(args, impl_->context); }

void CpuBackend::moe_experts(const MoeExpertsArgs& args) { cpu::moe_experts(args, impl_->context); }

void CpuBackend::top_scores(const TopScoresArgs& args) { cpu::top_scores(args, impl_->context); }

void CpuBackend::random_fill(const RandomFillArgs& args) { cpu::random_fill(args, impl_->context); }

}  // namespace m2
