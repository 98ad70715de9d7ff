// Steps that come again and again, recorded as CUDA graphs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cuda/runtime.h"
#include "cuda/step_copies.h"

namespace m2::cuda {

/// The first run under a key is an ordinary one, so that memory grows and tables are filled; the
/// second one is recorded; later ones replay the record. A record holds addresses of workspaces, so
/// it is made again after any of them has moved. The keys used last are kept.
class StepGraphs {
 public:
  /// Runs `work`, which launches on the context's stream only, or what it launched under the same
  /// key. What it downloads is there on return.
  void run(std::span<const std::uint64_t> key, const std::function<void()>& work,
           const Context& context);

  /// While `work` runs: a copy of it. False where the caller must make it.
  [[nodiscard]] bool copy(const TensorView& host, const TensorView& device, StepCopies::Way way,
                          const Context& context);

 private:
  struct GraphDestroy {
    void operator()(cudaGraphExec_t graph) const noexcept;
  };
  using Graph = std::unique_ptr<CUgraphExec_st, GraphDestroy>;

  struct Record {
    std::vector<std::uint64_t> key;
    StepCopies copies;
    Graph graph;  // none after the first run
    std::uint64_t workspace_moves = 0;
    std::uint64_t last_use = 0;
  };

  // The step whose work runs.
  struct Current {
    StepCopies* copies = nullptr;
    bool recording = false;
  };

  [[nodiscard]] Record* find(std::span<const std::uint64_t> key);
  void run_first(std::span<const std::uint64_t> key, const std::function<void()>& work,
                 const Context& context);
  void add(Record record, const Context& context);
  [[nodiscard]] Graph record(StepCopies& copies, const std::function<void()>& work,
                             const Context& context);
  void run_work(const Current& current, const std::function<void()>& work);

  std::vector<Record> records_;
  std::uint64_t uses_ = 0;
  Current current_;
};

}  // namespace m2::cuda
