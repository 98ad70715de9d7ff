// Downloads from a hub that fails in every way that a network or a server can.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <thread>

#include "hub/hub_fixture.h"
#include "hub/model_directory.h"

namespace m2::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::vector<std::string> ranges(const std::vector<Json>& requests, const std::string& server) {
  std::vector<std::string> result;
  for (const Json& request : requests) {
    if (request["server"] == server && request["method"] == "GET")
      result.push_back(request["range"]);
  }
  return result;
}

class HubFaultTest : public HubTest {
 protected:
  // No file may be there under its own name unless it is whole.
  void expect_nothing(const std::string& name) const {
    EXPECT_FALSE(fs::exists(cache() / "snapshots" / kCommit / name));
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(cache() / "blobs", error)) {
      EXPECT_EQ(entry.path().extension(), ".incomplete") << entry.path();
    }
  }

  [[nodiscard]] fs::path incomplete() const {
    for (const auto& entry : fs::directory_iterator(cache() / "blobs")) {
      if (entry.path().extension() == ".incomplete") return entry.path();
    }
    return {};
  }
};

TEST_F(HubFaultTest, CutConnectionsAreResumed) {
  const auto size = static_cast<int>(weights().size());
  for (const int offset : {0, 1, 999, 1000, 16384, size / 2, size - 1}) {
    fs::remove_all(cache());
    server().set_faults({{{"server", "storage"}, {"times", 1}, {"cut_after", offset}}});
    EXPECT_EQ(read_file(file(kWeights)), weights()) << offset;
    const std::string range = offset == 0 ? "" : "bytes=" + std::to_string(offset) + "-";
    EXPECT_EQ(ranges(server().take_requests(), "storage"), (std::vector<std::string>{"", range}));
  }
}

TEST_F(HubFaultTest, SmallFilesAndAnswersAreCutToo) {
  const int size = static_cast<int>(std::string(kConfig).size());
  for (const int offset : {0, 1, size - 1}) {
    for (const char* match : {"/resolve/", "/api/"}) {
      fs::remove_all(cache());
      server().set_faults(
          {{{"method", "GET"}, {"match", match}, {"times", 1}, {"cut_after", offset}}});
      EXPECT_EQ(read_file(snapshot() / "config.json"), kConfig) << match << offset;
    }
  }
}

TEST_F(HubFaultTest, CutHeadersAreTriedAgain) {
  for (const char* method : {"HEAD", "GET"}) {
    fs::remove_all(cache());
    server().set_faults({{{"method", method}, {"times", 2}, {"cut_headers", true}}});
    EXPECT_EQ(read_file(file(kWeights)), weights()) << method;
  }
}

TEST_F(HubFaultTest, ManyCutsPassAsLongAsSomethingComes) {
  server().set_faults({{{"server", "storage"}, {"times", 20}, {"cut_after", 10'000}}});
  EXPECT_EQ(read_file(file(kWeights)), weights());
}

TEST_F(HubFaultTest, NoProgressEndsTheAttempts) {
  server().set_faults({{{"server", "storage"}, {"times", 100}, {"cut_after", 10}}});
  std::string message;
  EXPECT_EQ(error_code([] { static_cast<void>(file(kWeights)); }, &message),
            ErrorCode::kResourceExhausted);
  EXPECT_THAT(message, HasSubstr("after 3 attempts"));
  expect_nothing(kWeights);
  EXPECT_EQ(fs::file_size(incomplete()), 30U);
}

TEST_F(HubFaultTest, TheNextRunResumes) {
  server().set_faults({{{"server", "storage"}, {"times", 3}, {"cut_after", 500}}});
  EXPECT_EQ(error_code([] { static_cast<void>(file(kWeights)); }), ErrorCode::kResourceExhausted);
  static_cast<void>(server().take_requests());
  EXPECT_EQ(read_file(file(kWeights)), weights());
  EXPECT_EQ(ranges(server().take_requests(), "storage"), std::vector<std::string>{"bytes=1500-"});
}

TEST_F(HubFaultTest, ResumesWithoutRangeSupport) {
  server().set_faults({{{"server", "storage"}, {"times", 1}, {"cut_after", 5000}},
                       {{"server", "storage"}, {"times", 9}, {"ignore_range", true}}});
  EXPECT_EQ(read_file(file(kWeights)), weights());
}

TEST_F(HubFaultTest, AWrongPartOfAnEarlierRunIsDropped) {
  static_cast<void>(file(kWeights));
  const std::string blob = fs::read_symlink(cache() / "snapshots" / kCommit / kWeights).filename();
  for (const std::string& left :
       {std::string(1000, 'x'), std::string(weights().size(), 'x'),
        std::string(weights().size() + 5, 'x'), weights().substr(0, 7), weights()}) {
    fs::remove_all(cache());
    write_file(cache() / "blobs" / (blob + ".incomplete"), left);
    EXPECT_EQ(read_file(file(kWeights)), weights()) << left.size();
    EXPECT_FALSE(fs::exists(cache() / "blobs" / (blob + ".incomplete")));
  }
}

TEST_F(HubFaultTest, OverloadedServersAreWaitedFor) {
  for (const char* match : {"/api/", "config.json"}) {
    for (const int status : {429, 500, 503}) {
      fs::remove_all(cache());
      server().set_faults({{{"match", match},
                            {"times", 2},
                            {"status", status},
                            {"headers", {{"Retry-After", "0"}}}}});
      EXPECT_EQ(read_file(snapshot() / "config.json"), kConfig) << match << status;
    }
  }
}

TEST_F(HubFaultTest, RetryAfterIsObeyedWithinBounds) {
  server().set_faults(
      {{{"match", "config"}, {"times", 1}, {"status", 429}, {"headers", {{"Retry-After", "1"}}}}});
  const auto start = std::chrono::steady_clock::now();
  static_cast<void>(file("config.json"));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  server().set_faults(
      {{{"match", "empty"}, {"times", 1}, {"status", 429}, {"headers", {{"Retry-After", "900"}}}}});
  std::string message;
  EXPECT_EQ(error_code([] { static_cast<void>(file("empty.txt")); }, &message),
            ErrorCode::kResourceExhausted);
  EXPECT_THAT(message, HasSubstr("asks to wait 900 s"));
}

TEST_F(HubFaultTest, ServersThatStayDownEndTheAttempts) {
  server().set_faults({{{"times", 100}, {"status", 502}}});
  std::string message;
  EXPECT_EQ(error_code([] { static_cast<void>(snapshot()); }, &message),
            ErrorCode::kResourceExhausted);
  EXPECT_THAT(message, HasSubstr("status 502"));
  EXPECT_EQ(server().take_requests().size(), 3U);
}

TEST_F(HubFaultTest, AHubThatCannotBeReachedIsNotWaitedForLong) {
  HubOptions nowhere = options();
  nowhere.endpoint = "http://127.0.0.1:1";
  std::string message;
  EXPECT_EQ(error_code([&] { static_cast<void>(snapshot(nowhere)); }, &message),
            ErrorCode::kResourceExhausted);
  EXPECT_THAT(message, HasSubstr("after 2 attempts"));
  EXPECT_EQ(
      error_code([&] { static_cast<void>(hub::model_directory("no/such", nowhere)); }, &message),
      ErrorCode::kResourceExhausted);
  EXPECT_THAT(message, HasSubstr("there is no directory \"no/such\" either"));
}

TEST_F(HubFaultTest, WhatIsCachedServesWhileTheHubIsDown) {
  static_cast<void>(snapshot());
  server().set_faults({{{"times", 100}, {"status", 503}}});
  static_cast<void>(server().take_requests());
  EXPECT_EQ(read_file(snapshot() / kWeights), weights());
  EXPECT_EQ(read_file(file("config.json")), kConfig);
  EXPECT_EQ(server().take_requests().size(), 2U);  // one attempt each
  HubOptions again = options();
  again.force_download = true;
  EXPECT_EQ(error_code([&] { static_cast<void>(snapshot(again)); }), ErrorCode::kResourceExhausted);
}

TEST_F(HubFaultTest, WrongSizesAreCorrupt) {
  for (const int more : {-1, 1, 100'000, -100'000}) {
    fs::remove_all(cache());
    server().set_faults({{{"server", "storage"}, {"times", 1}, {"add_bytes", more}}});
    std::string message;
    EXPECT_EQ(error_code([] { static_cast<void>(file(kWeights)); }, &message),
              ErrorCode::kCorruptFile);
    EXPECT_THAT(message, HasSubstr("expected 300000 bytes"));
    expect_nothing(kWeights);
  }
}

TEST_F(HubFaultTest, BodiesWithoutALengthAreMeasured) {
  server().set_faults({{{"server", "storage"}, {"times", 1}, {"short_body", 1000}}});
  EXPECT_EQ(read_file(file(kWeights)), weights());
  EXPECT_EQ(ranges(server().take_requests(), "storage"),
            (std::vector<std::string>{"", "bytes=299000-"}));
}

TEST_F(HubFaultTest, WrongContentIsCorrupt) {
  for (const char* name : {kWeights, "config.json"}) {
    fs::remove_all(cache());
    server().set_faults({{{"method", "GET"}, {"match", name}, {"times", 1}, {"corrupt_at", 3}},
                         {{"server", "storage"}, {"times", 1}, {"corrupt_at", 3}}});
    std::string message;
    EXPECT_EQ(error_code([&] { static_cast<void>(file(name)); }, &message),
              ErrorCode::kCorruptFile);
    EXPECT_THAT(message, HasSubstr(name == kWeights ? "expected sha256" : "expected git sha1"));
    expect_nothing(name);
    EXPECT_EQ(fs::file_size(incomplete()), 0U);
    server().set_faults(Json::array());
    static_cast<void>(file(name));
  }
}

TEST_F(HubFaultTest, WrongPlacesAreCorrupt) {
  server().set_faults({{{"server", "storage"}, {"times", 1}, {"cut_after", 5000}},
                       {{"server", "storage"}, {"times", 1}, {"shift_range", 10}}});
  EXPECT_EQ(error_code([] { static_cast<void>(file(kWeights)); }), ErrorCode::kCorruptFile);
}

TEST_F(HubFaultTest, StalledServersAreLeft) {
  for (const int offset : {0, 5000}) {
    fs::remove_all(cache());
    server().set_faults({{{"server", "storage"}, {"times", 1}, {"stall_after", offset}}});
    EXPECT_EQ(read_file(file(kWeights)), weights());
  }
}

TEST_F(HubFaultTest, WhatDoesNotExistIsSaidSo) {
  struct Case {
    std::function<void()> call;
    const char* message;
  };
  for (const Case& c : {
           Case{
               [] { static_cast<void>(hub::snapshot_download("test/other", options(), limits())); },
               "the repository does not exist"},
           Case{[] { static_cast<void>(snapshot(at("v9"))); }, "the revision does not exist"},
           Case{[] { static_cast<void>(file("config.json", at("v9"))); },
                "the revision does not exist"},
           Case{[] { static_cast<void>(file("other.json")); }, "the file does not exist"},
       }) {
    std::string message;
    EXPECT_EQ(error_code(c.call, &message), ErrorCode::kNotFound);
    EXPECT_THAT(message, HasSubstr(c.message));
  }
  EXPECT_TRUE(fs::exists(cache() / ".no_exist" / kCommit / "other.json"));
  HubOptions offline = options();
  offline.local_files_only = true;
  std::string message;
  EXPECT_EQ(error_code([&] { static_cast<void>(file("other.json", offline)); }, &message),
            ErrorCode::kNotFound);
  EXPECT_THAT(message, HasSubstr("the file does not exist"));
}

TEST_F(HubFaultTest, GatedAndPrivateRepositories) {
  server().add_repo("test/gated", {{"refs", {{"main", kCommit}}}, {"gated", true}});
  server().add_repo("test/private", {{"refs", {{"main", kCommit}}}, {"private", "right"}});
  server().add_file("test/private", kCommit, "config.json", "secret");
  std::string message;
  EXPECT_EQ(
      error_code(
          [] { static_cast<void>(hub::snapshot_download("test/gated", options(), limits())); },
          &message),
      ErrorCode::kUnsupported);
  EXPECT_THAT(message, HasSubstr("is gated"));
  HubOptions wanted = options();
  const auto fetch = [&] {
    return hub::hub_download("test/private", "config.json", wanted, limits());
  };
  EXPECT_EQ(error_code([&] { static_cast<void>(fetch()); }), ErrorCode::kNotFound);
  wanted.token = "wrong";
  EXPECT_EQ(error_code([&] { static_cast<void>(fetch()); }), ErrorCode::kInvalidArgument);
  wanted.token = "right";
  EXPECT_EQ(read_file(fetch()), "secret");
}

TEST_F(HubFaultTest, RedirectsAreBoundedAndStayInHttp) {
  for (const char* target :
       {"{hub}/api/models/test/model/revision/main", "file:///etc/passwd", "ftp://127.0.0.1/x"}) {
    server().set_faults({{{"times", 100}, {"redirect", target}}});
    EXPECT_EQ(error_code([] { static_cast<void>(snapshot()); }), ErrorCode::kUnsupported) << target;
  }
  EXPECT_LE(server().take_requests().size(), 13U);
}

TEST_F(HubFaultTest, ARedirectToAnotherPortLosesTheToken) {
  server().set_faults({{{"server", "hub"},
                        {"method", "GET"},
                        {"match", "config.json"},
                        {"times", 1},
                        {"redirect", "{storage}/test/model/" + kCommit + "/config.json"}}});
  HubOptions wanted = options();
  wanted.token = "secret";
  EXPECT_EQ(read_file(file("config.json", wanted)), kConfig);
  const auto requests = server().take_requests();
  EXPECT_EQ(requests.back()["server"], "storage");
  EXPECT_EQ(requests.back()["authorization"], "");
}

TEST_F(HubFaultTest, AnswersForAnotherCommitAreRefused) {
  server().set_faults({{{"method", "HEAD"}, {"times", 100}, {"commit", kOldCommit}}});
  EXPECT_EQ(error_code([] { static_cast<void>(snapshot()); }), ErrorCode::kCorruptFile);
}

TEST_F(HubFaultTest, EtagsCannotLeaveTheCache) {
  server().set_faults({{{"method", "HEAD"}, {"times", 1}, {"etag", "../../../x"}}});
  EXPECT_EQ(error_code([] { static_cast<void>(file("config.json")); }), ErrorCode::kCorruptFile);
}

TEST_F(HubFaultTest, CancellingKeepsWhatCame) {
  std::stop_source source;
  HubOptions wanted = options();
  wanted.stop = source.get_token();
  server().set_faults({{{"server", "storage"}, {"times", 1}, {"stall_after", 5000}}});
  const std::jthread canceller([&] {
    while (!fs::exists(cache() / "blobs") || incomplete().empty() ||
           fs::file_size(incomplete()) < 5000) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    source.request_stop();
  });
  EXPECT_EQ(error_code([&] { static_cast<void>(file(kWeights, wanted)); }), ErrorCode::kCancelled);
  expect_nothing(kWeights);
  EXPECT_EQ(fs::file_size(incomplete()), 5000U);
  EXPECT_EQ(read_file(file(kWeights)), weights());
}

TEST_F(HubFaultTest, CancellingEndsAllWorkers) {
  std::stop_source source;
  source.request_stop();
  HubOptions wanted = options();
  wanted.stop = source.get_token();
  EXPECT_EQ(error_code([&] { static_cast<void>(snapshot(wanted)); }), ErrorCode::kCancelled);
}

TEST_F(HubFaultTest, FilesThatCannotBeWrittenAreNamed) {
  HubOptions wanted = options();
  wanted.cache_dir = (cache().parent_path().parent_path() / "file").string();
  write_file(*wanted.cache_dir, "in the way");
  std::string message;
  EXPECT_EQ(error_code([&] { static_cast<void>(file("config.json", wanted)); }, &message),
            ErrorCode::kInvalidArgument);
  EXPECT_THAT(message, HasSubstr(*wanted.cache_dir));
}

// A limit on file sizes fails writes as a full disk does.
TEST_F(HubFaultTest, AFullDiskIsSaidSo) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{100'000, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  std::string message;
  const ErrorCode code = error_code([] { static_cast<void>(file(kWeights)); }, &message);
  ::setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(message, HasSubstr("cannot write"));
  expect_nothing(kWeights);
  EXPECT_EQ(read_file(file(kWeights)), weights());
}

TEST_F(HubFaultTest, NobodyListens) {
  HubOptions wanted = options();
  wanted.endpoint = "http://127.0.0.1:1";
  EXPECT_EQ(error_code([&] { static_cast<void>(snapshot(wanted)); }),
            ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace m2::test
