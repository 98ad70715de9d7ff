// Steps that come again and again, recorded as CUDA graphs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cuda/runtime.h"

namespace m2::cuda {

/// The first run under a key is an ordinary one, so that memory grows and tables are filled; the
/// second one is recorded; later ones replay the record. A record holds addresses of workspaces, so
/// it is made again after any of them has moved. The keys used last are kept.
class StepGraphs {
 public:
  /// Runs `work`, which launches on `stream` only, or what it launched under the same key.
  void run(std::span<const std::uint64_t> key, const std::function<void()>& work,
           const Stream& stream);

 private:
  struct GraphDestroy {
    void operator()(cudaGraphExec_t graph) const noexcept;
  };
  using Graph = std::unique_ptr<CUgraphExec_st, GraphDestroy>;

  struct Record {
    std::vector<std::uint64_t> key;
    Graph graph;  // none after the first run
    std::uint64_t workspace_moves = 0;
    std::uint64_t last_use = 0;
  };

  [[nodiscard]] Record* find(std::span<const std::uint64_t> key);
  void add(std::span<const std::uint64_t> key);
  [[nodiscard]] static Graph record(const std::function<void()>& work, const Stream& stream);

  std::vector<Record> records_;
  std::uint64_t uses_ = 0;
};

}  // namespace m2::cuda
