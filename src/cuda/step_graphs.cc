#include "cuda/step_graphs.h"

#include <algorithm>
#include <utility>

namespace m2::cuda {
namespace {

constexpr std::size_t kMaxRecords =
    64;  // batch sizes of an engine; a record takes about a megabyte

}  // namespace

void StepGraphs::GraphDestroy::operator()(cudaGraphExec_t graph) const noexcept {
  static_cast<void>(cudaGraphExecDestroy(graph));
}

void StepGraphs::run(std::span<const std::uint64_t> key, const std::function<void()>& work,
                     const Context& context) {
  Record* known = find(key);
  if (known == nullptr) return run_first(key, work, context);
  known->last_use = ++uses_;
  if (known->graph == nullptr || known->workspace_moves != Workspace::moves()) {
    known->graph = record(known->copies, work, context);
    known->workspace_moves = Workspace::moves();
  }
  known->copies.before_launch(context);
  require(cudaGraphLaunch(known->graph.get(), context.stream.get()), "launch a recorded step");
  known->copies.after_launch(context);
}

bool StepGraphs::copy(const TensorView& host, const TensorView& device, StepCopies::Way way,
                      const Context& context) {
  if (current_.copies == nullptr) return false;
  if (current_.recording) {
    current_.copies->record(host, device, way, context);
  } else {
    current_.copies->note(host, device, way);
  }
  return current_.recording;
}

StepGraphs::Record* StepGraphs::find(std::span<const std::uint64_t> key) {
  const auto found = std::ranges::find_if(
      records_, [&](const Record& candidate) { return std::ranges::equal(candidate.key, key); });
  return found == records_.end() ? nullptr : &*found;
}

void StepGraphs::run_first(std::span<const std::uint64_t> key, const std::function<void()>& work,
                           const Context& context) {
  Record record = {.key = {key.begin(), key.end()}, .copies = {}, .graph = {}};
  run_work({.copies = &record.copies, .recording = false}, work);
  record.last_use = ++uses_;
  add(std::move(record), context);
}

void StepGraphs::add(Record record, const Context& context) {
  if (records_.size() == kMaxRecords) {
    // The device may still use its memory.
    require(cudaStreamSynchronize(context.stream.get()), "synchronize");
    records_.erase(std::ranges::min_element(records_, {}, &Record::last_use));
  }
  records_.push_back(std::move(record));
}

// With copy() knowing whose copies they are.
void StepGraphs::run_work(const Current& current, const std::function<void()>& work) {
  current_ = current;
  try {
    work();
  } catch (...) {
    current_ = {};
    throw;
  }
  current_ = {};
}

StepGraphs::Graph StepGraphs::record(StepCopies& copies, const std::function<void()>& work,
                                     const Context& context) {
  copies.prepare();
  const cudaStream_t stream = context.stream.get();
  require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "record a step");
  cudaGraph_t recorded = nullptr;
  try {
    run_work({.copies = &copies, .recording = true}, work);
    copies.finish_recording(context);
  } catch (...) {
    static_cast<void>(cudaStreamEndCapture(stream, &recorded));
    if (recorded != nullptr) static_cast<void>(cudaGraphDestroy(recorded));
    throw;
  }
  require(cudaStreamEndCapture(stream, &recorded), "record a step");
  cudaGraphExec_t graph = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&graph, recorded, 0);
  static_cast<void>(cudaGraphDestroy(recorded));
  require(status, "make a recorded step ready");
  return Graph(graph);
}

}  // namespace m2::cuda
