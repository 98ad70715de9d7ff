// Downloads from a hub in order: what is fetched, where it goes, what the cache saves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <thread>

#include "hub/hub_fixture.h"

namespace m2::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

TEST_F(HubTest, MakesTheStandardLayout) {
  const fs::path directory = snapshot();
  EXPECT_EQ(directory, cache() / "snapshots" / kCommit);
  EXPECT_EQ(read_file(cache() / "refs" / "main"), kCommit);
  EXPECT_EQ(read_file(directory / "config.json"), kConfig);
  EXPECT_EQ(read_file(directory / "empty.txt"), "");
  EXPECT_EQ(read_file(directory / "sub/dir/file name %2e.txt"), "nested");
  EXPECT_EQ(read_file(directory / kWeights), weights());
  // git hash-object of the file's content, as `git hash-object` prints it.
  EXPECT_EQ(fs::read_symlink(directory / "empty.txt"),
            "../../blobs/e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(fs::read_symlink(directory / "sub/dir/file name %2e.txt").parent_path(),
            "../../../../blobs");
  EXPECT_EQ(fs::read_symlink(directory / kWeights).filename().string().size(), 64U);
  for (const auto& entry : fs::directory_iterator(cache() / "blobs")) {
    EXPECT_EQ(entry.path().extension(), "") << entry.path();
  }
}

TEST_F(HubTest, AsksNothingTwice) {
  static_cast<void>(snapshot());
  static_cast<void>(server().take_requests());
  static_cast<void>(snapshot());
  EXPECT_EQ(server().take_requests().size(), 1U);  // what main is now
  static_cast<void>(file("config.json", at(kCommit)));
  EXPECT_TRUE(server().take_requests().empty());
  static_cast<void>(file("config.json"));
  EXPECT_EQ(server().take_requests().size(), 1U);
  HubOptions again = options();
  again.force_download = true;
  EXPECT_EQ(read_file(snapshot(again) / kWeights), weights());
  EXPECT_GE(server().take_requests().size(), 9U);
}

TEST_F(HubTest, TakesRevisionsOfEveryKind) {
  for (const std::string& revision :
       {std::string("v1"), std::string("refs/pr/1"), std::string("feature/x"), kOldCommit}) {
    EXPECT_EQ(read_file(file("config.json", at(revision))), "old") << revision;
    EXPECT_EQ(read_file(snapshot(at(revision)) / "config.json"), "old") << revision;
    const bool is_name = revision != kOldCommit;
    EXPECT_EQ(fs::exists(cache() / "refs" / revision), is_name);
    if (is_name) {
      EXPECT_EQ(read_file(cache() / "refs" / revision), kOldCommit);
    }
  }
}

TEST_F(HubTest, PatternsChooseFiles) {
  HubOptions wanted = options();
  wanted.allow_patterns = {"*.json", "*.txt"};
  wanted.ignore_patterns = {"sub/"};
  const fs::path directory = snapshot(wanted);
  EXPECT_TRUE(fs::exists(directory / "config.json"));
  EXPECT_TRUE(fs::exists(directory / "empty.txt"));
  EXPECT_FALSE(fs::exists(directory / "sub"));
  EXPECT_FALSE(fs::exists(directory / kWeights));
  wanted.allow_patterns = {"*.gguf"};
  EXPECT_EQ(error_code([&] { static_cast<void>(snapshot(wanted)); }), ErrorCode::kNotFound);
}

TEST_F(HubTest, OfflineTakesWhatTheCacheHas) {
  HubOptions offline = options();
  offline.local_files_only = true;
  EXPECT_EQ(error_code([&] { static_cast<void>(snapshot(offline)); }), ErrorCode::kNotFound);
  static_cast<void>(snapshot());
  static_cast<void>(server().take_requests());
  EXPECT_EQ(snapshot(offline), cache() / "snapshots" / kCommit);
  EXPECT_EQ(read_file(file("config.json", offline)), kConfig);
  offline.revision = kCommit;
  EXPECT_EQ(snapshot(offline), cache() / "snapshots" / kCommit);
  EXPECT_EQ(read_file(file("config.json", offline)), kConfig);
  offline.revision = "v1";
  EXPECT_EQ(error_code([&] { static_cast<void>(snapshot(offline)); }), ErrorCode::kNotFound);
  EXPECT_EQ(error_code([&] { static_cast<void>(file("config.json", offline)); }),
            ErrorCode::kNotFound);
  EXPECT_TRUE(server().take_requests().empty());
}

TEST_F(HubTest, TheEnvironmentSpeaksWhereOptionsAreSilent) {
  const TemporaryDirectory other;
  ::setenv("HF_ENDPOINT", (server().endpoint() + "/").c_str(), 1);
  ::setenv("M2_TEST_PLACE", other.path().c_str(), 1);
  ::setenv("HF_HUB_CACHE", "${M2_TEST_PLACE}/cache", 1);
  ::setenv("HF_TOKEN", " secret\n", 1);
  const fs::path path = hub::hub_download(kRepo, "config.json", {}, limits());
  EXPECT_EQ(path, other.path() / "cache/models--test--model/snapshots" / kCommit / "config.json");
  for (const Json& request : server().take_requests()) {
    EXPECT_EQ(request["authorization"], "Bearer secret");
  }
  ::setenv("HF_HUB_OFFLINE", "1", 1);
  EXPECT_EQ(hub::hub_download(kRepo, "config.json", {}, limits()), path);
  EXPECT_TRUE(server().take_requests().empty());
  for (const char* name : {"HF_ENDPOINT", "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"}) {
    ::unsetenv(name);
  }
}

TEST_F(HubTest, TheTokenFileIsTheLastPlaceToLook) {
  write_file(cache().parent_path().parent_path() / "token", "from-file\n");
  static_cast<void>(file("config.json"));
  EXPECT_EQ(server().take_requests().at(0)["authorization"], "Bearer from-file");
  HubOptions wanted = options();
  wanted.token = "two\nlines";
  EXPECT_EQ(error_code([&] { static_cast<void>(file("empty.txt", wanted)); }),
            ErrorCode::kInvalidArgument);
  wanted.token = "";
  static_cast<void>(file("empty.txt", wanted));
  EXPECT_EQ(server().take_requests().at(0)["authorization"], "");
}

TEST_F(HubTest, TheTokenStaysAtTheHub) {
  HubOptions wanted = options();
  wanted.token = "secret";
  static_cast<void>(file(kWeights, wanted));
  bool stored = false;
  for (const Json& request : server().take_requests()) {
    const bool at_hub = request["server"] == "hub";
    EXPECT_EQ(request["authorization"], at_hub ? "Bearer secret" : "") << request;
    stored = stored || !at_hub;
  }
  EXPECT_TRUE(stored);
}

TEST_F(HubTest, CopiesWhereLinksAreSwitchedOff) {
  static_cast<void>(file("config.json"));  // leaves a blob that is copied below
  fs::remove(cache() / "snapshots" / kCommit / "config.json");
  ::setenv("HF_HUB_DISABLE_SYMLINKS", "1", 1);
  const fs::path directory = snapshot();
  ::unsetenv("HF_HUB_DISABLE_SYMLINKS");
  for (const char* name : {"config.json", kWeights}) {
    EXPECT_FALSE(fs::is_symlink(directory / name)) << name;
  }
  EXPECT_EQ(read_file(directory / "config.json"), kConfig);
  EXPECT_EQ(read_file(directory / kWeights), weights());
}

TEST_F(HubTest, ProgressAddsUp) {
  HubOptions wanted = options();
  std::vector<HubProgress> reports;
  wanted.max_workers = 3;
  wanted.progress = [&](const HubProgress& progress) { reports.push_back(progress); };
  static_cast<void>(snapshot(wanted));
  ASSERT_GE(reports.size(), 4U);
  EXPECT_EQ(reports.back().files_done, 4);
  EXPECT_EQ(reports.back().files_total, 4);
  EXPECT_EQ(reports.back().bytes_done, reports.back().bytes_total);
  EXPECT_EQ(reports.back().bytes_total,
            static_cast<std::int64_t>(weights().size() + std::string(kConfig).size() + 6));
  static_cast<void>(snapshot(wanted));  // all there already
  EXPECT_EQ(reports.back().bytes_done, reports.back().bytes_total);
  EXPECT_EQ(reports.back().files_done, 4);
}

TEST_F(HubTest, WhatTheProgressThrowsComesOut) {
  HubOptions wanted = options();
  wanted.progress = [](const HubProgress& /*progress*/) { throw std::runtime_error("enough"); };
  EXPECT_THROW(static_cast<void>(snapshot(wanted)), std::runtime_error);
}

TEST_F(HubTest, SeveralAtOnceFetchOnce) {
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([] { EXPECT_EQ(read_file(file(kWeights)), weights()); });
    }
  }
  int fetches = 0;
  for (const Json& request : server().take_requests()) {
    if (request["server"] == "storage") ++fetches;
  }
  EXPECT_EQ(fetches, 1);
}

TEST_F(HubTest, RefusesBadNamesBeforeAsking) {
  for (const auto& call : std::vector<std::function<void()>>{
           [] { static_cast<void>(hub::snapshot_download("../x", options(), limits())); },
           [] { static_cast<void>(snapshot(at("../../x"))); },
           [] { static_cast<void>(file("../x")); },
           [] { static_cast<void>(file("")); },
           [] {
             HubOptions wanted = options();
             wanted.endpoint = "ftp://x";
             static_cast<void>(snapshot(wanted));
           },
           [] {
             HubOptions wanted = options();
             wanted.max_workers = 0;
             static_cast<void>(snapshot(wanted));
           },
       }) {
    EXPECT_EQ(error_code(call), ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(server().take_requests().empty());
}

}  // namespace
}  // namespace m2::test
