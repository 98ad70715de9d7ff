#include "base/numa.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

#include "base/cpu_set.h"
#include "base/error.h"

namespace m2 {
namespace {

// The number of a folder "node3", or -1.
int node_id(const std::string& name) {
  constexpr std::string_view kPrefix = "node";
  if (!name.starts_with(kPrefix)) return -1;
  int id = -1;
  const auto [end, error] =
      std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), id);
  return error == std::errc() && end == name.data() + name.size() ? id : -1;
}

// A node of memory alone has an empty list.
std::vector<int> listed_cpus(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line.empty() ? std::vector<int>() : parse_cpu_set(line);
}

}  // namespace

std::vector<NumaNode> numa_nodes(const std::filesystem::path& root) {
  const std::vector<int> allowed = allowed_cpus();
  std::vector<NumaNode> nodes;
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(root, missing)) {
    NumaNode node{.id = node_id(entry.path().filename().string()), .cpus = {}};
    if (node.id < 0) continue;
    std::ranges::set_intersection(listed_cpus(entry.path() / "cpulist"), allowed,
                                  std::back_inserter(node.cpus));
    if (!node.cpus.empty()) nodes.push_back(std::move(node));
  }
  std::ranges::sort(nodes, {}, &NumaNode::id);
  return nodes;
}

std::vector<std::vector<int>> worker_cpus(int num_workers, std::span<const int> cpus,
                                          std::span<const NumaNode> nodes) {
  std::vector<std::vector<int>> result(static_cast<std::size_t>(num_workers));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const std::size_t turn = i + 1;  // the calling thread comes first
    if (!cpus.empty()) {
      result[i] = {cpus[turn % cpus.size()]};
    } else if (nodes.size() > 1) {
      result[i] = nodes[turn % nodes.size()].cpus;
    }
  }
  return result;
}

bool interleave_memory(std::span<const NumaNode> nodes) {
  constexpr std::size_t kBits = 8 * sizeof(unsigned long);
  std::vector<unsigned long> mask;
  for (const NumaNode& node : nodes) {
    const std::size_t id = static_cast<std::size_t>(node.id);
    if (id / kBits >= mask.size()) mask.resize(id / kBits + 1);
    mask[id / kBits] |= 1UL << id % kBits;
  }
  M2_CHECK(!mask.empty(), "interleave_memory: no nodes");
  // The kernel takes one bit less than it is told.
  return syscall(SYS_set_mempolicy, MPOL_INTERLEAVE, mask.data(), mask.size() * kBits + 1) == 0;
}

}  // namespace m2
