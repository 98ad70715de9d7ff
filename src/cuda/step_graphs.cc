#include "cuda/step_graphs.h"

#include <algorithm>

namespace m2::cuda {
namespace {

constexpr std::size_t kMaxRecords =
    64;  // batch sizes of an engine; a record takes about a megabyte

}  // namespace

void StepGraphs::GraphDestroy::operator()(cudaGraphExec_t graph) const noexcept {
  static_cast<void>(cudaGraphExecDestroy(graph));
}

void StepGraphs::run(std::span<const std::uint64_t> key, const std::function<void()>& work,
                     const Stream& stream) {
  Record* known = find(key);
  if (known == nullptr) {
    work();
    return add(key);
  }
  known->last_use = ++uses_;
  if (known->graph == nullptr || known->workspace_moves != Workspace::moves()) {
    known->graph = record(work, stream);
    known->workspace_moves = Workspace::moves();
  }
  require(cudaGraphLaunch(known->graph.get(), stream.get()), "launch a recorded step");
}

StepGraphs::Record* StepGraphs::find(std::span<const std::uint64_t> key) {
  const auto found = std::ranges::find_if(
      records_, [&](const Record& candidate) { return std::ranges::equal(candidate.key, key); });
  return found == records_.end() ? nullptr : &*found;
}

void StepGraphs::add(std::span<const std::uint64_t> key) {
  if (records_.size() == kMaxRecords) {
    records_.erase(std::ranges::min_element(records_, {}, &Record::last_use));
  }
  records_.push_back({.key = {key.begin(), key.end()}, .last_use = ++uses_});
}

StepGraphs::Graph StepGraphs::record(const std::function<void()>& work, const Stream& stream) {
  require(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "record a step");
  cudaGraph_t recorded = nullptr;
  try {
    work();
  } catch (...) {
    static_cast<void>(cudaStreamEndCapture(stream.get(), &recorded));
    if (recorded != nullptr) static_cast<void>(cudaGraphDestroy(recorded));
    throw;
  }
  require(cudaStreamEndCapture(stream.get(), &recorded), "record a step");
  cudaGraphExec_t graph = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&graph, recorded, 0);
  static_cast<void>(cudaGraphDestroy(recorded));
  require(status, "make a recorded step ready");
  return Graph(graph);
}

}  // namespace m2::cuda
