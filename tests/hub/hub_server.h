// Runs hub_server.py for a test: repositories, faults, and what was asked.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/paths.h"

namespace m2::test {

using Json = nlohmann::json;

/// A directory that goes with the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "m2-hub-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline void write_file(const std::filesystem::path& path, const std::string& content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

class HubServer {
 public:
  HubServer() { start(); }
  ~HubServer() {
    ::close(to_server_);  // the server ends with its standard input
    ::waitpid(process_, nullptr, 0);
  }
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;

  [[nodiscard]] std::string endpoint() const { return "http://127.0.0.1:" + hub_port_; }

  void add_repo(const std::string& id, const Json& info) const {
    write_file(directory_.path() / "repos" / id / "repo.json", info.dump());
  }
  void add_file(const std::string& id, const std::string& commit, const std::string& name,
                const std::string& content) const {
    write_file(directory_.path() / "repos" / id / commit / name, content);
  }
  void set_faults(Json faults) {
    // The server counts equal faults together, so each gets a number of its own.
    for (Json& fault : faults) fault["number"] = num_faults_++;
    // Whole or not at all: the server reads it any time.
    write_file(directory_.path() / "faults.new", faults.dump());
    std::filesystem::rename(directory_.path() / "faults.new", directory_.path() / "faults.json");
  }
  /// The requests since the last call.
  [[nodiscard]] std::vector<Json> take_requests() const {
    std::vector<Json> requests;
    std::ifstream in(directory_.path() / "requests.log");
    for (std::string line; std::getline(in, line);) requests.push_back(Json::parse(line));
    std::filesystem::remove(directory_.path() / "requests.log");
    return requests;
  }

 private:
  void start() {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (::pipe(in.data()) != 0 || ::pipe(out.data()) != 0) throw std::runtime_error("pipe failed");
    const std::string script = (source_dir() / "tests" / "hub" / "hub_server.py").string();
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      for (const int fd : {in[0], in[1], out[0], out[1]}) ::close(fd);
      ::execlp("python3", "python3", script.c_str(), directory_.path().c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    to_server_ = in[1];
    std::string line;
    for (char c = 0; ::read(out[0], &c, 1) == 1 && c != '\n';) line += c;
    ::close(out[0]);
    hub_port_ = line.substr(0, line.find(' '));
    if (hub_port_.empty()) throw std::runtime_error("hub_server.py did not start");
  }

  TemporaryDirectory directory_;
  pid_t process_ = -1;
  int to_server_ = -1;
  std::string hub_port_;
  int num_faults_ = 0;
};

}  // namespace m2::test
