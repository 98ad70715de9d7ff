// Where tests find their files.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

namespace m2::test {

/// The root of the repository that the tests were built from.
std::filesystem::path source_dir();

/// A committed file below tests/golden.
inline std::filesystem::path golden_path(const std::string& name) {
  return source_dir() / "tests" / "golden" / name;
}

/// The model that the repository ships.
inline std::filesystem::path shipped_model() { return source_dir() / "models" / "tiny-agent"; }

/// Files that are not part of the repository: below M2_TEST_DATA, else ../shared/data.
/// Tests that need one skip with a message where it is absent.
inline std::optional<std::filesystem::path> external_data(const std::string& name) {
  const char* root = std::getenv("M2_TEST_DATA");
  const auto path =
      (root != nullptr ? std::filesystem::path(root) : source_dir() / ".." / "shared" / "data") /
      name;
  if (!std::filesystem::exists(path)) return std::nullopt;
  return path;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace m2::test
