#include "base/numa.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/cpu_set.h"
#include "base/error.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

// A folder as the kernel shows nodes.
class NodeFolder {
 public:
  NodeFolder() : path_(fs::path(testing::TempDir()) / "numa_nodes") {
    fs::remove_all(path_);
    fs::create_directories(path_ / "power");
  }
  ~NodeFolder() { fs::remove_all(path_); }
  NodeFolder(const NodeFolder&) = delete;
  NodeFolder& operator=(const NodeFolder&) = delete;

  void add(const std::string& name, const std::string& cpus) const {
    fs::create_directories(path_ / name);
    std::ofstream(path_ / name / "cpulist") << cpus << "\n";
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

TEST(Numa, FindsNodesWithProcessorsOfThisThread) {
  const int cpu = allowed_cpus().front();
  const NodeFolder folder;
  folder.add("node10", std::to_string(cpu));
  folder.add("node2", std::to_string(cpu) + ",1022-1023");
  folder.add("node3", "");      // memory alone
  folder.add("node4", "1023");  // processors that this thread may not use
  folder.add("nodes", std::to_string(cpu));
  const std::vector<NumaNode> nodes = numa_nodes(folder.path());
  ASSERT_EQ(nodes.size(), 2U);
  EXPECT_EQ(nodes[0].id, 2);
  EXPECT_EQ(nodes[1].id, 10);
  EXPECT_EQ(nodes[0].cpus, std::vector<int>{cpu});
}

TEST(Numa, HasNoNodesWhereTheSystemNamesNone) {
  EXPECT_TRUE(numa_nodes("/nonexistent/node").empty());
}

TEST(Numa, RefusesAListThatIsNone) {
  const NodeFolder folder;
  folder.add("node0", "0-x");
  EXPECT_THROW((void)numa_nodes(folder.path()), Error);
}

TEST(Numa, GivesWorkersNodesOrProcessorsInTurn) {
  using Cpus = std::vector<std::vector<int>>;
  const std::vector<NumaNode> two = {{0, {0, 1}}, {1, {2, 3}}};
  EXPECT_EQ(worker_cpus(3, {}, two), (Cpus{{2, 3}, {0, 1}, {2, 3}}));
  EXPECT_EQ(worker_cpus(2, {}, std::span(two).first(1)), (Cpus{{}, {}}));
  const std::vector<int> own = {5, 7};
  EXPECT_EQ(worker_cpus(3, own, two), (Cpus{{7}, {5}, {7}}));
}

// In a thread of its own: the policy stays with it.
TEST(Numa, InterleavesMemoryOfTheNodesThatThereAre) {
  const std::vector<NumaNode> nodes = numa_nodes();
  if (nodes.empty()) GTEST_SKIP() << "the system shows no nodes";
  bool allowed = false;
  std::thread([&] { allowed = interleave_memory(nodes); }).join();
  if (!allowed) GTEST_SKIP() << "the system forbids policies of memory";
  bool unknown = true;
  std::thread([&] { unknown = interleave_memory(std::vector<NumaNode>{{1000, {0}}}); }).join();
  EXPECT_FALSE(unknown);
}

}  // namespace
}  // namespace m2
