// Machines whose memory belongs to several groups of processors (NUMA).
#pragma once

#include <filesystem>
#include <span>
#include <vector>

namespace m2 {

struct NumaNode {
  int id = 0;
  std::vector<int> cpus;  // those that the calling thread may use, ascending
};

/// The nodes with processors that the calling thread may use, by id; none where the system does not
/// say. `root` is for tests.
[[nodiscard]] std::vector<NumaNode> numa_nodes(
    const std::filesystem::path& root = "/sys/devices/system/node");

/// Where each of `num_workers` threads shall run: on one of `cpus` each, in turn, or without them
/// on any processor of a node, the nodes in turn; empty for anywhere.
[[nodiscard]] std::vector<std::vector<int>> worker_cpus(int num_workers, std::span<const int> cpus,
                                                        std::span<const NumaNode> nodes);

/// Takes the pages that the calling thread touches first, mapped files included, from these nodes
/// in turn, so that the rates of all of them add up; threads that it starts do the same. False
/// where the system forbids it (some containers do).
[[nodiscard]] bool interleave_memory(std::span<const NumaNode> nodes);

}  // namespace m2
